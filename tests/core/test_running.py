"""Where a running call ends: at its waits and between its events, never while it hands one on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.events import Delta, Event
from palaver_server.core.identity.client import ANONYMOUS
from palaver_server.core.running import RunningCalls


def gone() -> PalaverError:
    return PalaverError(Reason.SERVER_DRAINING, "The server leaves.")


async def words(count: int) -> AsyncGenerator[Event, None]:
    for _ in range(count):
        yield Delta("word ", 1)


async def silence() -> AsyncGenerator[Event, None]:
    await asyncio.Event().wait()
    yield Delta("never", 1)


async def test_a_call_that_hands_an_event_on_ends_before_the_next_one() -> None:
    calls = RunningCalls()
    handed_on = 0
    with pytest.raises(PalaverError) as caught:
        async with calls.call(ANONYMOUS) as running:
            async for _ in running.answer_with(words(3)):
                assert calls.end(gone) == 1
                await asyncio.sleep(0.01)  # a write that is under way
                handed_on += 1
    assert caught.value.reason is Reason.SERVER_DRAINING
    assert handed_on == 1
    assert len(calls) == 0


async def test_a_call_that_waits_for_an_event_ends_at_once() -> None:
    calls = RunningCalls()
    asyncio.get_running_loop().call_later(0.01, calls.end, gone)
    with pytest.raises(PalaverError, match="leaves"):
        async with calls.call(ANONYMOUS) as running:
            async for _ in running.answer_with(silence()):
                raise AssertionError("nothing was said")
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_call_that_waits_for_room_ends_at_once() -> None:
    calls = RunningCalls()
    asyncio.get_running_loop().call_later(0.01, calls.end, gone)
    with pytest.raises(PalaverError, match="leaves"):
        async with calls.call(ANONYMOUS):
            await asyncio.Event().wait()


async def test_a_call_ends_when_its_time_is_over() -> None:
    with pytest.raises(PalaverError) as caught:
        async with RunningCalls().call(ANONYMOUS, until=asyncio.get_running_loop().time() + 0.01) as running:
            async for _ in running.answer_with(silence()):
                raise AssertionError("nothing was said")
    assert caught.value.reason is Reason.DEADLINE_EXCEEDED


async def test_who_cancels_from_outside_gets_a_cancelled_task() -> None:
    calls = RunningCalls()

    async def body() -> None:
        async with calls.call(ANONYMOUS):
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await asyncio.sleep(0)
    task.cancel()
    calls.end(gone)
    with pytest.raises(asyncio.CancelledError):
        await task
