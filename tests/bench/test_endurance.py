"""A short run of the day's calls: does each come to what it must, and is it seen where one does not?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.slope import slope_of

ROOT = Path(__file__).resolve().parents[2]
CALLS = 80


def run_endurance(out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.bench.endurance", "--engine", "scripted", "--out", str(out)]
    command += ["--calls", str(CALLS), "--callers", "12", "--room", "8"]
    env = os.environ | environment
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=100, check=False)


def results_in(out: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((out / "results.json").read_text())["results"]
    return results


def test_every_call_comes_to_what_it_must_and_is_counted_once(tmp_path: Path) -> None:
    run = run_endurance(tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    results = results_in(tmp_path)
    counts = {outcome["kind"]: outcome["count"] for outcome in results["outcomes"]}
    assert all(counts[kind] > 0 for kind in ("unary", "streamed", "cancelled", "refused"))
    assert sum(counts.values()) == CALLS
    assert results["unexplained_count"] == 0
    assert results["turned_away"] > 0  # twelve callers, eight places and one that may wait
    assert results["looks"][-1]["calls"] == CALLS
    assert all(look["front_end_mib"] > 10 and look["descriptors"] > 3 for look in results["looks"])
    assert "<svg" in (tmp_path / "results.svg").read_text()
    assert "unexplained" in run.stdout


def test_calls_that_fail_are_unexplained_and_told_with_their_reason(tmp_path: Path) -> None:
    run = run_endurance(tmp_path, PALAVER_SCRIPTED_FAIL_AFTER="4")
    assert run.returncode == 1
    results = results_in(tmp_path)
    counts = {outcome["kind"]: outcome["count"] for outcome in results["outcomes"]}
    assert counts["unary"] == counts["streamed"] == 0
    assert counts["refused"] > 0
    assert sum(counts.values()) + results["unexplained_count"] == CALLS
    assert all("GENERATION_FAILED" in what for what in results["unexplained"])


@pytest.mark.parametrize(("growth", "is_above_zero"), [(0.0, False), (0.5, True)])
def test_a_slope_tells_growth_from_noise(growth: float, is_above_zero: bool) -> None:
    noise = (0.3, -0.4, 0.1, 0.2, -0.3, 0.4, -0.1, -0.2)
    slope = slope_of([(step, 60 + growth * step + noise[step % len(noise)]) for step in range(40)])
    assert slope is not None
    assert slope.low <= growth <= slope.high
    assert (slope.low > 0) == is_above_zero


def test_an_outlier_does_not_move_a_slope() -> None:
    slope = slope_of([(step, 1000.0 if step == 7 else 2.0 * step) for step in range(20)])
    assert slope is not None
    assert slope.median == pytest.approx(2.0)


def test_too_few_points_have_no_slope() -> None:
    assert slope_of([(1, 1), (2, 2)]) is None
