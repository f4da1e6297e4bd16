from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from palaver_server.core.admission import MAX_RETRY_SECONDS, MIN_RETRY_SECONDS, Admission
from palaver_server.core.errors import PalaverError, Reason


def make(max_concurrent: int, max_queued: int) -> Admission:
    return Admission(max_concurrent=max_concurrent, max_queued=max_queued, clock=asyncio.get_running_loop().time)


async def settle() -> None:
    """Let everything run that can run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def hold(admission: Admission, seconds: float = 1.0) -> None:
    async with admission.permit():
        await asyncio.sleep(seconds)


@asynccontextmanager
async def holders(admission: Admission, count: int) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Callers who never leave by themselves."""
    tasks = [asyncio.create_task(hold(admission, 1e9)) for _ in range(count)]
    await settle()
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def refusal(admission: Admission) -> PalaverError:
    with pytest.raises(PalaverError) as caught:
        await hold(admission, 0)
    return caught.value


async def test_exactly_as_many_run_and_wait_as_there_is_room() -> None:
    admission = make(3, 2)
    async with holders(admission, 5):
        assert (admission.running_count, admission.waiting_count) == (3, 2)
        error = await refusal(admission)
        assert error.reason is Reason.SERVER_OVERLOADED
        assert "3 calls are running and 2 are waiting" in error.message
        assert (admission.running_count, admission.waiting_count) == (3, 2)
    assert (admission.running_count, admission.waiting_count) == (0, 0)


async def test_never_more_run_than_there_is_room_whatever_comes_and_goes() -> None:
    admission = make(3, 50)
    running = most = 0

    async def call(index: int) -> None:
        nonlocal running, most
        await asyncio.sleep(index * 7 % 13)
        async with admission.permit():
            running += 1
            most = max(most, running)
            await asyncio.sleep(index % 5)
            running -= 1

    tasks = [asyncio.create_task(call(index)) for index in range(53)]
    for index in range(0, 53, 4):
        asyncio.get_running_loop().call_later(index % 17, tasks[index].cancel)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert most == 3
    assert not [result for result in results if isinstance(result, PalaverError)]
    assert (admission.running_count, admission.waiting_count) == (0, 0)


async def test_who_waits_longest_is_served_first() -> None:
    admission = make(1, 5)
    served: list[int] = []

    async def call(index: int) -> None:
        async with admission.permit():
            served.append(index)
            await asyncio.sleep(1)

    await asyncio.gather(*(call(index) for index in range(6)))
    assert served == list(range(6))


async def test_a_newcomer_does_not_overtake_a_waiter_who_was_just_called() -> None:
    admission = make(1, 2)
    order: list[str] = []

    async def call(name: str) -> None:
        async with admission.permit():
            order.append(name)

    async with admission.permit():
        waiter = asyncio.create_task(call("waiter"))
        await settle()
    # The permit is handed over, but the waiter has not run yet.
    assert (admission.running_count, admission.waiting_count) == (1, 0)
    await call("newcomer")
    await waiter
    assert order == ["waiter", "newcomer"]


async def test_refusal_is_at_once_without_a_queue() -> None:
    admission = make(1, 0)
    async with holders(admission, 1):
        before = asyncio.get_running_loop().time()
        error = await refusal(admission)
        assert asyncio.get_running_loop().time() == before
        assert error.retry_after_seconds is not None
        assert MIN_RETRY_SECONDS <= error.retry_after_seconds <= MAX_RETRY_SECONDS


async def test_a_waiter_who_leaves_frees_its_place_and_is_not_served() -> None:
    admission = make(1, 1)
    async with holders(admission, 1) as running:
        leaver = asyncio.create_task(hold(admission))
        await settle()
        leaver.cancel()
        await asyncio.gather(leaver, return_exceptions=True)
        assert admission.waiting_count == 0
        async with holders(admission, 1):
            running[0].cancel()
            await settle()
            assert (admission.running_count, admission.waiting_count) == (1, 0)
    assert (admission.running_count, admission.waiting_count) == (0, 0)


async def test_a_permit_that_comes_to_a_waiter_who_is_leaving_goes_to_the_next() -> None:
    admission = make(1, 2)
    async with admission.permit():
        leaver = asyncio.create_task(hold(admission))
        await settle()
        patient = asyncio.create_task(hold(admission))
        await settle()
    leaver.cancel()  # after the permit was handed over, before it ran
    await settle()
    assert leaver.cancelled()
    assert (admission.running_count, admission.waiting_count) == (1, 0)
    await patient
    assert admission.running_count == 0


async def test_a_waiter_who_leaves_in_the_instant_before_a_permit_is_passed_over() -> None:
    admission = make(1, 2)
    async with admission.permit():
        leaver = asyncio.create_task(hold(admission))
        await settle()
        patient = asyncio.create_task(hold(admission))
        await settle()
        leaver.cancel()  # has not run yet when the permit is given back
    await settle()
    assert leaver.cancelled()
    await patient
    assert (admission.running_count, admission.waiting_count) == (0, 0)


async def test_all_waiters_leaving_at_once_leave_no_trace() -> None:
    admission = make(1, 100)
    async with holders(admission, 101):
        assert admission.waiting_count == 100
    assert (admission.running_count, admission.waiting_count) == (0, 0)
    await hold(admission)


@pytest.mark.parametrize("error", [RuntimeError(), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_a_permit_is_given_back_however_its_body_ends(error: BaseException) -> None:
    admission = make(1, 0)
    with pytest.raises(type(error)):
        async with admission.permit():
            raise error
    assert admission.running_count == 0


async def test_the_refused_are_told_times_one_share_of_the_throughput_apart() -> None:
    admission = make(4, 0)
    await asyncio.gather(*(hold(admission, 2) for _ in range(4)))  # a call lasts 2 s: one ends every 0.5 s
    async with holders(admission, 4):
        promises = [(await refusal(admission)).retry_after_seconds or 0 for _ in range(20)]
    assert promises[0] == pytest.approx(2.5)
    assert [later - sooner for sooner, later in pairwise(promises)] == pytest.approx([0.5] * 19)


async def test_a_promise_counts_those_who_wait_already() -> None:
    admission = make(1, 3)
    await hold(admission, 2)
    async with holders(admission, 4):
        assert (await refusal(admission)).retry_after_seconds == pytest.approx(2 + 3 * 2 + 2)


async def test_calls_that_outlast_the_estimate_correct_it() -> None:
    admission = make(1, 0)
    await hold(admission, 0.001)
    async with holders(admission, 1):
        await asyncio.sleep(20)
        promise = (await refusal(admission)).retry_after_seconds
    assert promise == pytest.approx(20, abs=0.2)


async def test_promises_are_spread_also_where_calls_are_shorter_than_the_shortest_promise() -> None:
    admission = make(1, 0)
    await hold(admission, 0.01)
    async with holders(admission, 1):
        promises = [(await refusal(admission)).retry_after_seconds or 0 for _ in range(10)]
    assert promises == pytest.approx([MIN_RETRY_SECONDS + 0.01 * (index + 1) for index in range(10)])


async def test_a_flood_of_refused_callers_is_forgotten_soon() -> None:
    admission = make(1, 0)
    await hold(admission, 1)
    async with holders(admission, 1):
        promises = [(await refusal(admission)).retry_after_seconds or 0 for _ in range(10_000)]
    assert all(0 < promise <= MAX_RETRY_SECONDS for promise in promises)
    beyond = promises[100:]
    assert all(promise >= MAX_RETRY_SECONDS / 2 for promise in beyond)
    assert len({round(promise) for promise in beyond}) > 25, "no crowd comes back in the same second"
    await asyncio.sleep(MAX_RETRY_SECONDS)
    async with holders(admission, 1):
        assert ((await refusal(admission)).retry_after_seconds or MAX_RETRY_SECONDS) < 2.5


@pytest.mark.parametrize(("callers", "most_tries"), [(200, 2), (2000, 20)])
async def test_callers_who_come_back_when_told_are_all_served(callers: int, most_tries: int) -> None:
    admission = make(4, 8)
    tries = [0] * callers

    async def call(index: int) -> None:
        while True:
            tries[index] += 1
            try:
                await hold(admission, 0.5 + (index * 37 % 101) / 100)
            except PalaverError as error:
                await asyncio.sleep(error.retry_after_seconds or 0)
            else:
                return

    async with asyncio.timeout(callers * 2):
        await asyncio.gather(*(call(index) for index in range(callers)))
    assert max(tries) <= most_tries
    # The room was used: with one call a second and four places, perfect use takes a quarter of a second a call.
    assert asyncio.get_running_loop().time() < callers / 4 * 1.1
    assert (admission.running_count, admission.waiting_count) == (0, 0)


async def test_repr_shows_the_room() -> None:
    assert repr(make(2, 3)) == "Admission(running=0/2, waiting=0/3)"
