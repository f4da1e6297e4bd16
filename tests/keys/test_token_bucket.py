"""The bucket's promises, over a clock of the test's own: nothing here waits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaver_server.core.limits.token_bucket import TokenBucket

SECOND = 1_000_000_000


def allowed(bucket: TokenBucket, rate: int, times) -> int:
    return sum(bucket.take(rate, now).is_allowed for now in times)


@pytest.mark.parametrize("rate", [1, 7, 60, 61, 1000])
def test_exactly_the_burst_passes_at_once_and_then_exactly_the_rate(rate) -> None:
    bucket = TokenBucket(rate, 0)
    assert allowed(bucket, rate, [0] * (rate + 50)) == rate
    # Asking a hundred times a second for two minutes: what comes in is two minutes' worth, to the call.
    assert allowed(bucket, rate, range(0, 120 * SECOND + 1, SECOND // 100)) == 2 * rate


@given(
    st.integers(1, 5000),
    st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=200),
)
def test_never_more_than_burst_and_rate_whatever_the_times(rate, gaps) -> None:
    bucket, now, passed = TokenBucket(rate, 0), 0, 0
    for gap in gaps:
        now += gap
        passed += bucket.take(rate, now).is_allowed
        assert passed <= rate + rate * now // (60 * SECOND)


@given(st.integers(1, 5000), st.integers(0, 400), st.integers(0, 10 * SECOND))
def test_who_comes_back_when_told_finds_a_token(rate, crowd, pause) -> None:
    bucket = TokenBucket(rate, 0)
    allowed(bucket, rate, [0] * rate)
    waits = [bucket.take(rate, pause) for _ in range(min(crowd, max(rate, 10)))]
    back = sorted(pause + round(told.retry_after_seconds * 1e9) for told in waits if not told.is_allowed)
    assert all(bucket.take(rate, now + 1).is_allowed for now in back)


def test_times_to_wait_are_one_token_apart_and_no_longer_than_a_minute() -> None:
    bucket = TokenBucket(60, 0)
    allowed(bucket, 60, [0] * 60)
    waits = [bucket.take(60, 0).retry_after_seconds for _ in range(80)]
    assert waits[:5] == [1, 2, 3, 4, 5]
    assert max(waits) == 60


def test_an_answer_tells_what_is_left_and_when_all_is_back() -> None:
    bucket = TokenBucket(60, 0)
    bucket.take(60, 0)
    charge = bucket.take(60, 0)
    assert (charge.limit, charge.remaining, charge.reset_seconds) == (60, 58, 2.0)


def test_a_changed_rate_counts_at_once_and_gives_nobody_a_new_burst() -> None:
    bucket = TokenBucket(60, 0)
    allowed(bucket, 60, [0] * 60)
    assert not bucket.take(600, 0).is_allowed
    assert allowed(bucket, 600, [SECOND] * 50) == 10
    assert allowed(bucket, 2, [10 * SECOND] * 50) == 2


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    bucket = TokenBucket(3, 100)
    assert allowed(bucket, 3, [100, 50, 0, *([100] * 20)]) == 3


def test_a_full_bucket_is_known_as_such() -> None:
    bucket = TokenBucket(60, 0)
    assert bucket.is_full(0)
    bucket.take(60, 0)
    assert not bucket.is_full(SECOND - 1)
    assert bucket.is_full(SECOND)
