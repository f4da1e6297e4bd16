from __future__ import annotations

import pytest

from palaver_server.core.loading import MAX_RETRY_SECONDS, MIN_RETRY_SECONDS, Loading
from palaver_server.core.model import LoadPhase, LoadProgress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loading(clock: Clock) -> Loading:
    return Loading(clock)


def test_a_load_begins_with_nothing_done(loading: Loading) -> None:
    assert loading.progress == LoadProgress(LoadPhase.STARTING, 0.0)
    assert loading.elapsed_seconds == 0
    assert MIN_RETRY_SECONDS < loading.retry_after_seconds() < MAX_RETRY_SECONDS


def test_a_fraction_never_goes_back(loading: Loading) -> None:
    loading.report(LoadProgress(LoadPhase.STARTING_ENGINE, 0.6, "weights"))
    loading.report(LoadProgress(LoadPhase.WARMING_UP, 0.4, "first tokens"))
    assert loading.progress == LoadProgress(LoadPhase.WARMING_UP, 0.6, "first tokens")


@pytest.mark.parametrize(
    ("elapsed", "fraction", "expected"),
    [(10, 0.5, 10), (30, 0.75, 10), (10, 0.01, MAX_RETRY_SECONDS), (10, 0.99, MIN_RETRY_SECONDS), (5, 1.0, 1)],
)
def test_the_time_left_goes_on_at_the_pace_so_far(
    loading: Loading, clock: Clock, elapsed: float, fraction: float, expected: float
) -> None:
    clock.now += elapsed
    loading.report(LoadProgress(LoadPhase.STARTING_ENGINE, fraction))
    assert loading.elapsed_seconds == elapsed
    assert loading.retry_after_seconds() == pytest.approx(expected)
