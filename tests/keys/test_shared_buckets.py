"""Buckets of several processes: one count, whoever draws."""

from __future__ import annotations

import os
import time

import pytest

from palaver_server.core.identity.client import Client
from palaver_server.core.limits.request_limiter import RequestLimiter
from palaver_server.core.limits.shared_buckets import SETS, WAYS, SharedBuckets
from palaver_server.core.limits.token_bucket import MINUTE_NS, TokenBucket

PROCESSES = 4
RATE = 20_000


@pytest.fixture
def buckets():
    made = SharedBuckets()
    yield made
    made.close()


def test_processes_that_draw_at_once_get_exactly_what_there_is(buckets):
    now = time.monotonic_ns()  # nothing comes in meanwhile
    start, go = os.pipe()
    told, tell = os.pipe()
    children = []
    for _ in range(PROCESSES):
        if (pid := os.fork()) == 0:
            # In a process of its own nothing but charges: no test framework, no end of it.
            os.close(go)
            os.read(start, 1)  # until all are there
            let_in = sum(buckets.charge("key", RATE, now).is_allowed for _ in range(RATE))
            os.write(tell, let_in.to_bytes(4, "big"))
            os._exit(0)
        children.append(pid)
    os.close(go)
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
    let_in = [int.from_bytes(os.read(told, 4), "big") for _ in children]
    assert sum(let_in) == RATE
    assert not buckets.charge("key", RATE, now).is_allowed
    for end in (start, told, tell):
        os.close(end)


def test_one_that_is_opened_again_knows_what_was_drawn(buckets):
    other = SharedBuckets(os.dup(buckets.descriptor))
    drawn = TokenBucket(3, 0)
    for turn in range(6):
        assert (buckets, other)[turn % 2].charge("key", 3, 0) == drawn.take(3, 0)
    assert other.charge("key", 3, MINUTE_NS).remaining == 2
    other.close()


def test_keys_do_not_draw_from_each_other_and_the_oldest_gives_way(buckets):
    assert all(buckets.charge(f"key {number}", 1, number).is_allowed for number in range(SETS * WAYS))
    last = SETS * WAYS
    assert not buckets.charge(f"key {last - 1}", 1, last).is_allowed
    assert all(buckets.charge(f"late {number}", 1, last + number).is_allowed for number in range(SETS * WAYS))


def test_a_limiter_over_shared_buckets_counts_as_one_of_its_own(buckets):
    client = Client(id="acme", tier="default", key_id="k", requests_per_minute=2)
    shared, own = RequestLimiter(lambda: 0, buckets), RequestLimiter(lambda: 0)
    assert [shared.charge(client) for _ in range(4)] == [own.charge(client) for _ in range(4)]
    assert len(shared) == 0
