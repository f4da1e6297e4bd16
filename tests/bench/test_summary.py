"""The statistics of the paired rounds."""

from __future__ import annotations

import random
from statistics import median

import pytest

from tests.bench.measured import Spread
from tests.bench.summary import median_interval


def test_six_rounds_are_the_fewest_whose_range_is_a_95_percent_interval() -> None:
    assert median_interval([1, 2, 3, 4, 5])[2] == pytest.approx(0.9375)
    assert median_interval([3, 1, 2, 6, 5, 4]) == (1, 6, 0.96875)


def test_more_rounds_leave_the_outermost_ones_out() -> None:
    # Order statistics 2 and 8 of 9 hold the median with 1 - 2 (1 + 9) / 512.
    assert median_interval(range(9)) == (1, 7, 1 - 20 / 512)


def test_one_round_gives_no_certainty() -> None:
    assert median_interval([0.9]) == (0.9, 0.9, 0.0)


def test_the_interval_holds_the_median_as_often_as_it_says() -> None:
    draw = random.Random(1)
    hits = 0
    for _ in range(4000):
        low, high, coverage = median_interval([draw.lognormvariate(0, 1) for _ in range(8)])
        hits += low <= 1 <= high  # the median of that distribution is 1
    assert hits / 4000 == pytest.approx(coverage, abs=0.01)


def test_a_spread_is_in_milliseconds() -> None:
    seconds = [number / 1000 for number in range(1, 102)]
    assert Spread.of(seconds) == Spread(p50=1000 * median(seconds), p99=100.0, max=101.0)


def test_a_single_event_is_its_own_spread() -> None:
    assert Spread.of([0.25]) == Spread(p50=250.0, p99=250.0, max=250.0)
