"""``palaver top``: what it tells of a real server under load, and what of one that is not there."""

from __future__ import annotations

import json
import re

import pytest

from palaver_server.cli.top.scrape import Interval, Scrape


def metrics_of(server) -> str:
    return str(json.loads(server.said('"event": "metrics port"'))["address"])


@pytest.fixture
def busy(serve, start):
    """A server with room for two and a queue of one, all taken by answers without end; and one call refused."""
    flags = ("--max-concurrent-requests", "2", "--max-queued-requests", "1", "--scripted-tokens", "100000")
    server = serve("--metrics-listen", "127.0.0.1:0", *flags, "--scripted-interval", "0.02")
    for _ in range(3):
        start("chat", "--address", server.address, "hi")
    return server


def refuse_one(palaver, server) -> None:
    done = palaver("chat", "--address", server.address, "--timeout", "1", "--model", "another", "hi")
    assert done.returncode != 0


def until_full(palaver, server) -> dict:
    for _ in range(60):
        told = json.loads(palaver("top", "--metrics", metrics_of(server), "--once", "--json", "--every", "0.3").stdout)
        if told["running"] == 2 and told["waiting"] == 1:
            return told
    raise AssertionError(told)


def test_load_and_refusals_are_told_as_they_are(busy, palaver) -> None:
    refuse_one(palaver, busy)
    told = until_full(palaver, busy)
    assert (told["model"], told["is_ready"], told["load_phase"]) == ("scripted", True, "ready")
    assert (told["max_running"], told["max_waiting"]) == (2, 1)
    assert [(row["reason"], row["total"]) for row in told["failed"]] == [("MODEL_NOT_FOUND", 1)]
    assert told["memory"]["server"] > 10e6
    assert told["kv_cache"] is None  # the scripted engine has none


def test_a_frame_for_people_has_it_all(busy, palaver) -> None:
    refuse_one(palaver, busy)
    until_full(palaver, busy)
    done = palaver("top", "--metrics", f"http://{metrics_of(busy)}", "--once", "--every", "0.3")
    assert done.returncode == 0, done.stderr
    for text in ("scripted", "ready", "2/2", "1/1", "MODEL_NOT_FOUND", "first token", "between tokens", "local"):
        assert text in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_lines_come_until_somebody_ends_them_and_rates_are_of_their_time(serve, start, palaver) -> None:
    server = serve("--metrics-listen", "127.0.0.1:0", "--scripted-tokens", "7")
    top = start("top", "--metrics", metrics_of(server), "--json", "--every", "0.5")
    assert top.stdout is not None
    assert json.loads(top.stdout.readline())["calls"] == 0
    for _ in range(3):
        assert palaver("chat", "--address", server.address, "hi").returncode == 0
    tokens = calls = first_tokens = 0.0
    while calls < 3 - 0.01:
        line = json.loads(top.stdout.readline())
        tokens += line["output_tokens"] * line["interval"]
        calls += line["calls"] * line["interval"]
        first_tokens += line["first_token"]["count"]
    assert tokens == pytest.approx(21, abs=0.1)
    assert first_tokens == 3


def test_the_screen_goes_on_until_q(busy, terminal) -> None:
    screen = terminal("top", "--metrics", metrics_of(busy), "--every", "0.2")
    screen.until("Latency")
    screen.until("q quit")
    screen.type(" ")
    screen.until("held")
    screen.type("w")
    screen.type("q")
    assert screen.end() == 0
    assert "\x1b[?1049l" in screen.raw  # what was on the terminal before is there again


def test_the_screen_tells_when_the_server_has_gone(busy, terminal) -> None:
    screen = terminal("top", "--metrics", metrics_of(busy), "--every", "0.2")
    screen.until("Latency")
    busy.stop()
    screen.until("no answer for")
    screen.type("\x03")
    assert screen.end() == 0


def test_who_does_not_answer_is_named(palaver, serve) -> None:
    gone = palaver("top", "--metrics", "127.0.0.1:1", "--once")
    assert gone.returncode == 3
    assert "http://127.0.0.1:1/metrics does not answer" in gone.stderr
    server = serve("--metrics-listen", "127.0.0.1:0")
    elsewhere = palaver("top", "--metrics", f"{metrics_of(server)}/elsewhere", "--once")
    assert elsewhere.returncode == 3
    assert "answers 404" in elsewhere.stderr
    assert palaver("top", "--metrics", "ftp://x/metrics").returncode == 2


def look(at: float, *counts: float) -> Scrape:
    bounds = ("0.1", "0.5", "1", "+Inf")
    buckets = [({"le": bound}, count) for bound, count in zip(bounds, counts, strict=True)]
    return Scrape(at, {"t_bucket": buckets, "t_count": [({}, counts[-1])]})


@pytest.mark.parametrize(
    ("before", "after", "p50", "p95"),
    [
        ((0, 0, 0, 0), (10, 10, 10, 10), 0.05, 0.095),  # all in the first bucket, evenly
        ((5, 5, 5, 5), (5, 15, 15, 15), 0.3, 0.48),  # those from before do not count
        ((0, 0, 0, 0), (0, 0, 0, 4), 1.0, 1.0),  # never above the last bound
        ((9, 9, 9, 9), (9, 9, 9, 9), None, None),  # nothing new
        ((90, 90, 90, 90), (10, 10, 10, 10), 0.05, 0.095),  # the server was started anew
    ],
)
def test_quantiles_are_those_of_prometheus(before, after, p50, p95) -> None:
    found = Interval(look(0, *before), look(1, *after)).quantiles("t")
    assert (found.p50, found.p95) == (pytest.approx(p50), pytest.approx(p95))


def test_the_help_names_every_key(invoke) -> None:
    text = re.sub(r"\s+", " ", invoke("top", "--help").stdout)
    for word in ("q quits", "space holds", "w takes", "--json", "--once"):
        assert word in text
