"""What callers write stays theirs: it is in no log, figure, span or record, and makes none of them grow."""

from __future__ import annotations

import asyncio
import re
import uuid

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.edge.conftest import Pair
from tests.edge.strings import Caller
from tests.edge.test_keys import new_key
from tests.telemetry.otlp import receiving

CANARY = "canary7e1d5b3a"
LATE_SERIES = 100
LINE_BYTES = 1500
"""No line of a log is longer, whatever a caller sends: Envoy's, the longest, has some 600."""


async def figures_of(pair: Pair) -> str:
    """What both ports tell Prometheus."""
    address = pair.event("metrics port")["address"]
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        return (await client.get(f"http://{address}/metrics")).text + (
            await client.get(f"{pair.status_url}/metrics")
        ).text


async def stats_of(pair: Pair) -> str:
    """All that Envoy knows of itself."""
    transport = httpx.AsyncHTTPTransport(uds=str(pair.state_dir / "run" / "admin.sock"))
    async with httpx.AsyncClient(transport=transport, base_url="http://envoy", timeout=30) as admin:
        return "".join([(await admin.get(path)).text for path in ("/stats", "/config_dump", "/clusters")])


def series_of(text: str) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    families = text_string_to_metric_families(text)
    return {(sample.name, frozenset(sample.labels.items())) for family in families for sample in family.samples}


def written_by(pair: Pair) -> str:
    """Logs, audit log and all else in the state folder."""
    files = [path.read_bytes().decode(errors="replace") for path in pair.state_dir.rglob("*") if path.is_file()]
    return "\n".join([*pair.lines, *files])


@pytest.fixture
def state_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("s")


def everything_on(state_dir, endpoint: str) -> tuple[str, ...]:
    """Settings at their defaults, with all that watches calls."""
    watched = ("--metrics-listen", "127.0.0.1:0", "--audit-dir", str(state_dir / "audit"), "--otlp-endpoint", endpoint)
    return (*watched, "--edge-access-log", "stdout")


async def test_a_canary_is_found_nowhere(start_pair, state_dir):
    key, _ = new_key(state_dir, "acme", "--requests-per-minute", "unlimited")
    async with receiving() as receiver:
        pair = await asyncio.to_thread(start_pair, *everything_on(state_dir, receiver.endpoint), state_dir=state_dir)
        async with Caller(pair, key) as caller:
            for way in caller.ways:
                await way(CANARY)
        told = await figures_of(pair) + await stats_of(pair)
        await asyncio.to_thread(pair.stop)
        written = written_by(pair)
        spans = receiver.raw.decode(errors="replace")
    # The ways have led somewhere: else nothing would be found because nothing was looked at.
    assert {line["code"] for line in pair.events("call")} >= {"OK", "NOT_FOUND", "INVALID_ARGUMENT", "UNIMPLEMENTED"}
    assert {line["status"] for line in pair.events("edge call")} >= {200, 401, 404, 405, 415}
    assert re.search(r'"user_hash":"[0-9a-f]{64}"', written)
    assert len(receiver.spans) > 20
    for name, text in {"figures": told, "logs and files": written, "spans": spans}.items():
        found = [line for line in text.splitlines() if CANARY in line.lower()]
        assert not found, f"{name}: {found[:3]}"


async def test_names_of_users_are_written_where_the_operator_asks_for_them(start_pair, state_dir):
    pair = await asyncio.to_thread(start_pair, "--log-user-ids", state_dir=state_dir)
    async with pair.client() as client:
        body = {"messages": [{"role": "ROLE_USER", "content": [{"text": "hi"}]}]}
        fields = {"user_id": CANARY, "labels": {"team": "blue"}}
        answer = await client.post("/palaver/v1/chat", json={**body, **fields}, headers={"x-request-id": "mine"})
        assert answer.status_code == 200
    line = pair.wait_for(
        lambda: next((line for line in pair.events("call") if line["request_id"] == "mine"), None), "no access line"
    )
    assert (line["user_id"], line["labels"]) == (CANARY, {"team": "blue"})


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=[pytest.mark.thorough, pytest.mark.timeout(1800)])])
async def test_many_strings_make_no_series_and_short_lines(start_pair, state_dir, count):
    key, _ = new_key(state_dir, "acme", "--requests-per-minute", "unlimited")
    async with receiving() as receiver:
        pair = await asyncio.to_thread(start_pair, *everything_on(state_dir, receiver.endpoint), state_dir=state_dir)
        async with Caller(pair, key) as caller:
            for _ in range(2):  # the first of each way brings its own series, of which there are so many
                for way in caller.ways:
                    await way(f"w{uuid.uuid4().hex}")
            before = series_of(await figures_of(pair))
            envoys_before = (await stats_of(pair)).count("\n")
            lines_before = len(pair.lines)
            for begin in range(0, count, 20):
                words = [f"w{uuid.uuid4().hex}" for _ in range(begin, min(begin + 20, count))]
                await asyncio.gather(
                    *(caller.ways[(begin + index) % len(caller.ways)](word) for index, word in enumerate(words))
                )
        after = series_of(await figures_of(pair))
        envoys_after = (await stats_of(pair)).count("\n")
        await asyncio.to_thread(pair.stop)
    lines = pair.lines[lines_before:]
    size = sum(map(len, lines))
    print(f"{count} words: {len(after)} series, {len(lines)} lines of {size} bytes")  # noqa: T201  # with -rP
    # What came late are outcomes, such as wrong keys that are one too many: a few, however many words there are.
    assert len(after - before) <= LATE_SERIES, after - before
    assert envoys_after - envoys_before <= LATE_SERIES
    assert not [series for series in after if re.search("w[0-9a-f]{32}", str(series))]
    assert len(lines) >= count
    assert max(map(len, lines)) <= LINE_BYTES
