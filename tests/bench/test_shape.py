"""A short run of the real thing: servers, load process, results. How fast it is, nobody asks here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    out = tmp_path_factory.mktemp("bench")
    return run_bench("--quick", "--engine", "scripted", "--out", str(out)), out


@pytest.mark.thorough
def test_peers_that_are_watched_and_not_can_be_compared(tmp_path: Path) -> None:
    run = run_bench("--quick", "--engine", "scripted", "--peers", "watched,unwatched", "--out", str(tmp_path))
    assert run.returncode == 0, run.stderr
    visits = json.loads((tmp_path / "results.json").read_text())["visits"]
    assert [visit["peer"] for visit in visits] == ["watched", "unwatched"]
    watched, unwatched = sorted(tmp_path.rglob("palaver.log"), key=lambda log: -log.stat().st_size)
    assert watched.read_text().count('"event": "call"') >= visits[0]["cells"][0]["answers"]
    assert '"event": "call"' not in unwatched.read_text()


@pytest.fixture
def results(finished: tuple[subprocess.CompletedProcess[str], Path]) -> dict[str, Any]:
    run, out = finished
    assert run.returncode == 0, run.stderr
    results: dict[str, Any] = json.loads((out / "results.json").read_text())
    return results


def test_every_peer_is_measured_with_every_number_of_streams(results: dict[str, Any]) -> None:
    assert [visit["peer"] for visit in results["visits"]] == ["palaver", "scripted"]
    for visit in results["visits"]:
        assert [cell["load"] for cell in visit["cells"]] == ["1", "4"]


def test_every_answer_has_all_the_tokens_that_were_asked_for(results: dict[str, Any]) -> None:
    for visit in results["visits"]:
        for cell in visit["cells"]:
            assert cell["answers"] == 2 * int(cell["load"])
            assert cell["output_tokens"] == cell["chunks"] == cell["answers"] * results["plan"]["tokens"]


def test_callers_who_arrive_at_random_ask_every_peer_the_same(tmp_path: Path) -> None:
    run = run_bench(
        *("--quick", "--engine", "scripted", "--streams", "4", "--arrivals", "50,95", "--prefix", "cold"),
        *("--out", str(tmp_path)),
    )
    assert run.returncode == 0, run.stderr
    palaver, scripted = json.loads((tmp_path / "results.json").read_text())["visits"]
    for visit in (palaver, scripted):
        assert [cell["load"] for cell in visit["cells"]] == ["4", "4 mixed", "50 %", "95 %"]
    for ours, theirs in zip(palaver["cells"], scripted["cells"], strict=True):
        assert {ours[key] for key in ("prompt_tokens", "output_tokens")} == {
            theirs[key] for key in ("prompt_tokens", "output_tokens")
        }
    alike, mixed, *_ = palaver["cells"]
    assert mixed["prompt_tokens"] > alike["prompt_tokens"]


def test_both_peers_count_the_same_prompt(results: dict[str, Any]) -> None:
    assert len({cell["prompt_tokens"] for visit in results["visits"] for cell in visit["cells"]}) == 1


def test_times_and_cpu_times_are_above_zero_and_in_order(results: dict[str, Any]) -> None:
    for visit in results["visits"]:
        assert visit["start_seconds"] > 0
        for cell in visit["cells"]:
            assert cell["front_end_us_per_token"] > 0
            assert 0 < cell["ttft_ms"]["p50"] <= cell["ttft_ms"]["p99"] <= cell["ttft_ms"]["max"]
            assert cell["ttft_ms"]["max"] < cell["answer_ms"]["max"]
            assert cell["answers_per_second"] > 0
            assert 0 < cell["gap_ms"]["p50"] <= cell["gap_ms"]["p99"] <= cell["gap_ms"]["max"]
            assert cell["tokens_per_second"] == pytest.approx(cell["output_tokens"] / cell["seconds"], rel=0.01)


def test_the_bare_engine_runs_beside_a_process_that_takes_what_the_load_client_takes(tmp_path: Path) -> None:
    run = run_bench(
        *("--engine", "scripted", "--peers", "palaver,scripted", "--streams", "8", "--rounds", "1"),
        *("--tokens", "100", "--out", str(tmp_path)),
    )
    assert run.returncode == 0, run.stderr
    palaver, scripted = json.loads((tmp_path / "results.json").read_text())["visits"]
    # The burner may still be at it when the last answer ends; it never burns what is not owed.
    assert 0 < scripted["cells"][0]["client_us_per_token"] < 1.5 * palaver["cells"][0]["client_us_per_token"]


def test_results_name_versions_machine_and_settings(results: dict[str, Any]) -> None:
    assert {"python", "palaver", "grpcio", "protobuf"} <= results["versions"].keys()
    assert {"cpu", "cores", "memory_gib", "instruction_sets"} <= results["machine"].keys()
    assert results["plan"]["streams"] == [1, 4]
    assert results["plan"]["engine_flags"]


def test_tables_and_a_picture_are_made(finished: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    run, out = finished
    assert "palaver / scripted" in run.stdout
    assert "front-end" in run.stdout
    assert "<svg" in (out / "results.svg").read_text()


def test_a_peer_that_cannot_start_ends_the_run_with_its_last_words(tmp_path: Path) -> None:
    run = run_bench("--quick", "--model", "no/such/folder", "--out", str(tmp_path), "--peers", "palaver")
    assert run.returncode == 1
    assert "palaver ended with status 1 before it was ready" in run.stderr
    assert "no/such/folder" in run.stderr
    assert not (tmp_path / "results.json").exists()


def test_a_list_of_streams_beyond_what_the_engine_takes_is_refused() -> None:
    run = run_bench("--streams", "1,1000")
    assert run.returncode == 2
    assert "--streams" in run.stderr


def test_a_peer_that_does_not_serve_the_engine_is_refused() -> None:
    run = run_bench("--engine", "scripted", "--peers", "palaver,raw")
    assert run.returncode == 2
    assert "raw cannot serve --engine scripted" in run.stderr


@pytest.mark.parametrize(
    ("text", "is_seen"), [("\n", False), ("\n<think>", False), ("\n<think></think>\n", False), ("<think>So", True)]
)
def test_the_bare_engines_answer_begins_with_a_word(text: str, is_seen: bool) -> None:
    from tests.bench.peers.beginning import unseen  # noqa: PLC0415

    assert (unseen(text) is None) == is_seen


def test_every_way_to_ask_palaver_is_measured_alike(tmp_path: Path) -> None:
    ways = ("palaver", "palaver-unary", "edge-grpc", "edge-rest", "edge-openai")
    run = run_bench(
        *("--engine", "scripted", "--quick", "--streams", "2", "--peers", ",".join(ways), "--out", str(tmp_path))
    )
    assert run.returncode == 0, run.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    cells = {visit["peer"]: visit["cells"][0] for visit in results["visits"]}
    assert cells.keys() == set(ways)
    for way, cell in cells.items():
        assert cell["output_tokens"] == cell["answers"] * results["plan"]["tokens"], way
        assert cell["chunks"] == (cell["answers"] if way == "palaver-unary" else cell["output_tokens"]), way
        assert cell["prompt_tokens"] == cells["palaver"]["prompt_tokens"], way
        assert cell["front_end_us_per_token"] > 0, way
        assert cell["front_end_mib"] > 10, way


def test_a_start_is_measured_until_its_first_token_and_afterwards(tmp_path: Path) -> None:
    out = tmp_path / "start.json"
    command = [sys.executable, "-m", "tests.bench.start", "--engine", "scripted", "--rounds", "1", "--streams", "2"]
    command += ["--out", str(out)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stderr
    results = json.loads(out.read_text())
    (start,) = results["starts"]
    assert start["peer"] == "palaver"
    assert 0 < start["ready_seconds"] < start["first_token_seconds"]
    assert start["tokens_per_second"] > 0
    assert {"palaver", "grpcio"} <= results["versions"].keys()
    assert "first token, s" in run.stdout
