"""A short curve: one number of streams, for its shape."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from tests.bench.curve.__main__ import _kib_a_stream, main
from tests.bench.curve.points import Point

ROOT = Path(__file__).resolve().parents[2]
RATES = ((1, 36.0), (2, 40.0))
"""By round, KiB a stream."""


def test_each_number_of_streams_is_measured_with_readers_and_without(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench.curve", "--streams", "6", "--rounds", "1", "--seconds", "0.5"]
    command += ["--out", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert run.returncode == 0, run.stderr
    points = json.loads((tmp_path / "results.json").read_text())["points"]
    assert [(point["streams"], point["reads"]) for point in points] == [(6, True), (6, False)]
    for point in points:
        assert point["open_mib"] > 10
        assert (point["tokens_per_second"] > 0) == point["reads"]
        assert (point["front_end_us_per_token"] > 0) == point["reads"]
    assert 0 < points[0]["pace"] < 1.2
    assert json.loads((tmp_path / "results.json").read_text())["kib_per_stream"] == []
    assert "<svg" in (tmp_path / "results.svg").read_text()


def test_memory_a_stream_is_the_slope_over_the_streams_of_a_round() -> None:
    def point(streams: int, open_mib: float, number: int) -> Point:
        return Point(
            round=number, streams=streams, reads=True, tokens_per_second=1, pace=1, front_end_us_per_token=1,
            client_share=0, idle_mib=60, open_mib=open_mib,
        )  # fmt: skip

    rounds = [point(streams, 60 + streams * kib / 1024, number) for streams in (1, 10, 500) for number, kib in RATES]
    assert _kib_a_stream(rounds, reads=True) == [kib for _, kib in RATES]
    assert _kib_a_stream(rounds, reads=False) == []


def test_a_number_of_streams_that_is_none_is_refused() -> None:
    run = CliRunner().invoke(main, ["--streams", "1,many"])
    assert run.exit_code == 2
    assert "'many' is not a valid integer range" in run.output
