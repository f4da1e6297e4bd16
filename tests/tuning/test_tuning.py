"""The parts of tuning: the search, the comparison, the file."""

from __future__ import annotations

import random
import tomllib
from pathlib import Path

import pytest

from palaver_server.machine.profile import Choice, StartProfile
from palaver_server.settings import load_settings
from palaver_server.tuning.gain import gain
from palaver_server.tuning.knobs import Candidate, Knob, knobs_for
from palaver_server.tuning.search import OutOfTimeError, climb
from palaver_server.tuning.settings_file import with_values, write_whole

POWERS = (8, 16, 32, 64, 128, 256)
WIDTH = Knob("width", POWERS, 64, is_vllm=True, also="breadth")
DEPTH = Knob("depth", (0.0, 0.1, 0.2), 0.05, is_vllm=False)


async def searched(score, *knobs: Knob) -> tuple[Candidate, list[Candidate]]:
    """The best candidate, and all that were tried."""
    kept: list[Candidate] = [{}]
    tried: list[Candidate] = []

    async def try_out(candidate: Candidate) -> float:
        tried.append(candidate)
        return score(candidate)

    await climb(knobs, try_out, kept.append)
    return kept[-1], tried


async def test_a_search_climbs_each_knob_and_tries_nothing_twice() -> None:
    def score(candidate: Candidate) -> float:
        return 100 - abs(candidate.get("width", 64) - 16) + 50 * candidate.get("depth", 0.05)

    best, tried = await searched(score, WIDTH, DEPTH)
    assert best == {"width": 16, "breadth": 16, "depth": 0.2}
    assert len(tried) == len({tuple(sorted(candidate.items())) for candidate in tried})
    assert len(tried) <= 12


async def test_noise_moves_nothing() -> None:
    noise = random.Random(1)
    best, _ = await searched(lambda candidate: 100 + noise.uniform(0, 1.5), WIDTH, DEPTH)
    assert best == {}


async def test_a_search_without_time_keeps_the_best_so_far() -> None:
    left = iter(range(3))

    def score(candidate: Candidate) -> float:
        if next(left, None) is None:
            raise OutOfTimeError
        return candidate.get("width", 64)

    best, tried = await searched(score, WIDTH)
    assert (best, len(tried)) == ({"width": 256, "breadth": 256}, 3)


def test_a_gain_has_an_interval_that_holds_it_and_is_sure_only_when_it_is() -> None:
    noise = random.Random(2)

    def starts(mean: float) -> list[list[float]]:
        return [[noise.gauss(mean, mean / 20) for _ in range(10)] for _ in range(4)]

    found = gain(starts(100), starts(130))
    assert found is not None
    assert found.low < 1.3 < found.high
    assert found.is_sure
    assert (found.starts, found.high - found.low < 0.2) == (4, True)
    luck = gain([[80.0, 100.0, 120.0], [90.0, 110.0, 100.0]], [[85.0, 105.0, 120.0], [95.0, 110.0, 100.0]])
    assert luck is not None
    assert (luck.ratio > 1, luck.is_sure) == (True, False)
    assert gain([], starts(1)) is None
    assert gain([[0.0] * 10], starts(1)) is None


def test_a_settings_file_keeps_what_it_has_and_gets_what_was_found(tmp_path: Path) -> None:
    before = '# mine\nmodel = "m"\n\n[tiers.gold]\nrequests_per_minute = 6\n\n[vllm]  # theirs\ndtype = "half"\n'
    text = with_values(before, {"coalescing_delay": 0.1}, {"max-num-seqs": 8}, "Found.\nTwice.")
    assert text.startswith("# Found.\n# Twice.\n")
    assert "# mine\n" in text
    assert "[vllm]  # theirs\n" in text
    assert tomllib.loads(text) == {
        "coalescing_delay": 0.1,
        "model": "m",
        "tiers": {"gold": {"requests_per_minute": 6}},
        "vllm": {"max-num-seqs": 8, "dtype": "half"},
    }
    file = tmp_path / "f.toml"
    write_whole(file, text)
    assert file.read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["f.toml"]
    odd = {"a": 'say "\\"\n', "b": [1, True], "c": {"d e": 0.5}}
    assert tomllib.loads(with_values("", odd, odd, "")) == odd | {"vllm": odd}


def test_what_is_set_by_hand_is_not_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PALAVER_MAX_CONCURRENT_REQUESTS", raising=False)
    profile = StartProfile(machine="m", choices=(Choice("gpu-memory-utilization", 0.92, "r"),))
    names = [knob.name for knob in knobs_for(load_settings(), (), profile)]
    assert names == ["max-num-batched-tokens", "max-num-seqs", "gpu-memory-utilization", "coalescing_delay"]
    by_hand = knobs_for(
        load_settings(coalescing_delay=0.0, max_concurrent_requests=4), ("--max-num-batched-tokens", "64"), None
    )
    assert [(knob.name, knob.also) for knob in by_hand] == [("max-num-seqs", None), ("kv-cache-memory-bytes", None)]
    busy = StartProfile(machine="m", choices=(Choice("gpu-memory-utilization", 0.49, "others hold it"),))
    assert all(step <= 0.49 for knob in knobs_for(load_settings(), (), busy)[2:3] for step in knob.ladder)
