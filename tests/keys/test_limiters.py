from __future__ import annotations

import tracemalloc

from palaver_server.core.errors import Reason
from palaver_server.core.identity.client import ANONYMOUS, LOCAL, Client
from palaver_server.core.limits.failed_attempts import MAX_ADDRESSES, FailedAttempts
from palaver_server.core.limits.request_limiter import SWEEP_AT, RequestLimiter, rate_limited

SECOND = 1_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def keyed(number: int, rate: int | None = 5) -> Client:
    return Client(f"client-{number}", "default", f"key-{number}", rate)


def test_each_key_has_a_bucket_of_its_own() -> None:
    limiter = RequestLimiter(Clock())
    assert [limiter.charge(keyed(1)).is_allowed for _ in range(7)] == [True] * 5 + [False] * 2
    assert limiter.charge(keyed(2)).is_allowed


def test_callers_without_key_or_limit_are_not_counted() -> None:
    limiter = RequestLimiter(Clock())
    assert [limiter.charge(client) for client in (LOCAL, ANONYMOUS, keyed(1, None))] == [None] * 3
    assert len(limiter) == 0


def test_full_buckets_are_dropped_and_used_ones_kept() -> None:
    clock = Clock()
    limiter = RequestLimiter(clock)
    for number in range(SWEEP_AT):
        limiter.charge(keyed(number))
    clock.now = 61 * SECOND
    for _ in range(5):
        limiter.charge(keyed(0))
    limiter.charge(keyed(SWEEP_AT))
    assert len(limiter) == 2
    assert not limiter.charge(keyed(0)).is_allowed


def test_a_refusal_names_limit_client_and_time_and_no_more() -> None:
    limiter = RequestLimiter(Clock())
    client = keyed(1, 1)
    limiter.charge(client)
    error = rate_limited(client, limiter.charge(client))
    assert error.reason is Reason.RATE_LIMITED
    assert error.retry_after_seconds == 60
    assert error.quota_violations[0].subject == "client:client-1"
    assert error.metadata == {"key_id": "key-1", "requests_per_minute": "1"}


def test_failures_are_counted_by_address_and_forgotten_with_time() -> None:
    clock = Clock()
    attempts = FailedAttempts(3, clock)
    assert [attempts.count("192.0.2.1").is_allowed for _ in range(5)] == [True] * 3 + [False] * 2
    assert attempts.count("192.0.2.2").is_allowed
    clock.now = 21 * SECOND
    assert attempts.count("192.0.2.1").is_allowed


def test_a_whole_ipv6_network_counts_as_one_and_a_mapped_address_as_the_ipv4_one() -> None:
    attempts = FailedAttempts(2, Clock())
    assert [attempts.count(f"2001:db8::{n}").is_allowed for n in range(1, 4)] == [True, True, False]
    assert attempts.count("2001:db8:0:1::1").is_allowed
    attempts.count("192.0.2.1")
    attempts.count("::ffff:192.0.2.1")
    assert not attempts.count("192.0.2.1").is_allowed


def test_memory_stays_flat_whatever_addresses_fail() -> None:
    attempts = FailedAttempts(3, Clock())
    for number in range(MAX_ADDRESSES):
        attempts.count(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    tracemalloc.start()
    try:
        for number in range(20_000):
            attempts.count(f"11.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(attempts) == MAX_ADDRESSES
    assert grown < 3_000_000  # the newer 4096 in place of the older ones, not 20,000
