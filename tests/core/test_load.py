"""How busy a server says that it is, on a clock that the test turns."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress

import pytest

from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.load import AVERAGING_SECONDS, Load


class Turned:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Turned:
    return Turned()


@pytest.fixture
def load(clock) -> Load:
    return Load(4, counts=lambda: (0, 0), kv_cache_usage=lambda: 0.0, clock=clock)


def answer_for(load: Load, clock: Turned, seconds: float, *, at_once: int, duration: float) -> None:
    """Answer so many calls at once, one after the other, for a time."""
    for _ in range(round(seconds / duration)):
        with ExitStack() as calls:
            for _ in range(at_once):
                calls.enter_context(load.call())
            clock.now += duration


def test_an_idle_server_reports_nothing(load, clock):
    clock.now += 10
    report = load.report()
    assert (report.utilization, report.calls_per_second, report.errors_per_second) == (0, 0, 0)


def test_the_averages_are_those_of_the_calls(load, clock):
    answer_for(load, clock, 60, at_once=2, duration=0.1)
    report = load.report()
    assert report.utilization == pytest.approx(2 / 4, rel=0.01)
    assert report.calls_per_second == pytest.approx(20, rel=0.02)


@pytest.mark.parametrize("seconds", [2, 60])
def test_their_ratio_is_the_places_over_the_duration_from_the_first_seconds_on(load, clock, seconds):
    answer_for(load, clock, seconds, at_once=3, duration=0.05)
    report = load.report()
    assert report.calls_per_second / report.utilization == pytest.approx(4 / 0.05, rel=0.05)
    clock.now += 30  # nobody calls: what is known of the server does not change
    later = load.report()
    assert later.calls_per_second < report.calls_per_second / 100
    assert later.calls_per_second / later.utilization == pytest.approx(4 / 0.05, rel=0.05)


def test_callers_who_wait_make_it_more_than_full(load, clock):
    with ExitStack() as calls:
        for _ in range(6):
            calls.enter_context(load.call())
        clock.now += 10 * AVERAGING_SECONDS
        assert load.report().utilization == pytest.approx(6 / 4, rel=0.01)


def test_a_full_kv_cache_counts_as_a_full_server(clock):
    load = Load(100, counts=lambda: (3, 1), kv_cache_usage=lambda: 0.8, clock=clock)
    report = load.report()
    assert (report.utilization, report.kv_cache_usage, report.running, report.waiting) == (0.8, 0.8, 3, 1)


@pytest.mark.parametrize(
    ("error", "is_fault"),
    [
        (PalaverError(Reason.SERVER_OVERLOADED, ""), True),
        (PalaverError(Reason.GENERATION_FAILED, ""), True),
        (RuntimeError(), True),
        (PalaverError(Reason.INVALID_FIELD, ""), False),
        (asyncio.CancelledError(), False),
    ],
    ids=repr,
)
def test_faults_of_the_server_are_errors_and_those_of_callers_are_not(load, error, is_fault):
    with suppress(type(error)), load.call():
        raise error
    report = load.report()
    assert report.calls_per_second == 1 / AVERAGING_SECONDS
    assert report.errors_per_second == (1 / AVERAGING_SECONDS if is_fault else 0)
