"""When a call is tried again, decided without any call."""

from __future__ import annotations

import pytest

from palaver_client import RetryPolicy, errors
from palaver_client._attempts import Attempts

UNAVAILABLE = errors.Unavailable("no")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def attempts(policy: RetryPolicy, timeout: float | None = None, *, chance: float = 0.0) -> tuple[Attempts, Clock]:
    clock = Clock()
    return Attempts(policy, timeout, clock=clock, chance=lambda: chance), clock


def test_waits_grow_to_their_bound_and_attempts_end():
    tried, _ = attempts(RetryPolicy(max_attempts=6, initial_backoff=1, multiplier=3, max_backoff=10))
    delays = [tried.delay_after(errors.Unavailable("no")) for _ in range(6)]
    assert delays == [1, 3, 9, 10, 10, None]


def test_the_time_that_the_server_names_is_never_undercut():
    for chance in (0.0, 0.5, 1.0):
        tried, _ = attempts(RetryPolicy(jitter=0.5), chance=chance)
        delay = tried.delay_after(errors.Overloaded("full", retry_after=4.0))
        assert delay == 4 * (1 + chance / 2)


def test_a_wait_that_outlasts_the_deadline_is_not_begun():
    tried, clock = attempts(RetryPolicy(), timeout=10)
    assert tried.delay_after(errors.Overloaded("full", retry_after=3)) == 3
    clock.now += 8
    assert tried.remaining() == 2
    late = errors.Overloaded("full", retry_after=3)
    assert tried.delay_after(late) is None
    assert late.__notes__ == ["Not tried again: a wait of 3 s would outlast the 2 s left."]


def test_the_time_left_never_falls_below_zero():
    tried, clock = attempts(RetryPolicy(), timeout=1)
    clock.now += 2
    assert tried.remaining() == 0


def test_a_wait_above_the_policys_bound_is_not_begun():
    tried, _ = attempts(RetryPolicy(max_retry_after=30))
    quota = errors.Overloaded("the quota of the day is used up", retry_after=3600)
    assert tried.delay_after(quota) is None
    assert "max_retry_after" in quota.__notes__[0]


@pytest.mark.parametrize(
    "kind",
    [
        errors.InvalidRequest,
        errors.NotFound,
        errors.Unimplemented,
        errors.Unauthenticated,
        errors.PermissionDenied,
        errors.DeadlineExceeded,
        errors.Cancelled,
        errors.InternalError,
        errors.PalaverClientError,
    ],
)
def test_what_another_try_cannot_help_is_not_tried_again(kind):
    tried, _ = attempts(RetryPolicy())
    assert tried.delay_after(kind("no")) is None


@pytest.mark.parametrize("kind", [errors.Unavailable, errors.ConnectionFailed, errors.Overloaded])
def test_what_passes_is_tried_again(kind):
    tried, _ = attempts(RetryPolicy(initial_backoff=1))
    assert tried.delay_after(kind("no")) == 1


def test_a_policy_of_many_attempts_keeps_its_waits_finite():
    tried, _ = attempts(RetryPolicy(max_attempts=10**9, multiplier=100, max_backoff=5))
    assert {tried.delay_after(UNAVAILABLE) for _ in range(2000)} == {0.5, 5}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_attempts", 0),
        ("initial_backoff", 0),
        ("max_backoff", float("nan")),
        ("multiplier", 0.5),
        ("jitter", 1.5),
        ("jitter", -0.1),
        ("max_retry_after", -1),
    ],
)
def test_a_policy_refuses_what_cannot_be_and_names_it(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be from"):
        RetryPolicy(**{name: value})
