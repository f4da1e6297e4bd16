"""Where a running call ends: at its waits and between its events, never while it hands one on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.events import Delta, Event
from palaver_server.core.identity.client import ANONYMOUS
from palaver_server.core.running import LAST_WRITE_SECONDS, RunningCalls


def gone() -> PalaverError:
    return PalaverError(Reason.SERVER_DRAINING, "The server leaves.")


async def words(count: int) -> AsyncGenerator[Event, None]:
    for _ in range(count):
        yield Delta("word ", 1)


async def silence() -> AsyncGenerator[Event, None]:
    await asyncio.Event().wait()
    yield Delta("never", 1)


async def test_a_call_that_hands_an_event_on_ends_before_the_next_one() -> None:
    calls = RunningCalls(30.0)
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
    calls = RunningCalls(30.0)
    asyncio.get_running_loop().call_later(0.01, calls.end, gone)
    with pytest.raises(PalaverError, match="leaves"):
        async with calls.call(ANONYMOUS) as running:
            async for _ in running.answer_with(silence()):
                raise AssertionError("nothing was said")
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_call_that_waits_for_room_ends_at_once() -> None:
    calls = RunningCalls(30.0)
    asyncio.get_running_loop().call_later(0.01, calls.end, gone)
    with pytest.raises(PalaverError, match="leaves"):
        async with calls.call(ANONYMOUS):
            await asyncio.Event().wait()


async def test_a_call_ends_when_its_time_is_over() -> None:
    with pytest.raises(PalaverError) as caught:
        async with RunningCalls(30.0).call(ANONYMOUS, until=asyncio.get_running_loop().time() + 0.01) as running:
            async for _ in running.answer_with(silence()):
                raise AssertionError("nothing was said")
    assert caught.value.reason is Reason.DEADLINE_EXCEEDED


async def test_who_cancels_from_outside_gets_a_cancelled_task() -> None:
    calls = RunningCalls(30.0)

    async def body() -> None:
        async with calls.call(ANONYMOUS):
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await asyncio.sleep(0)
    task.cancel()
    calls.end(gone)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_that_is_stuck_in_handing_an_event_on_ends_soon_after_it_was_told_to() -> None:
    calls, loop = RunningCalls(1e6), asyncio.get_running_loop()
    with pytest.raises(PalaverError, match="leaves"):
        async with calls.call(ANONYMOUS) as running:
            async for _ in running.answer_with(words(3)):
                calls.end(gone)
                told_at = loop.time()
                await asyncio.Event().wait()
    assert loop.time() - told_at == pytest.approx(LAST_WRITE_SECONDS)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_reader_who_takes_nothing_is_ended_when_its_time_is_over() -> None:
    calls, loop = RunningCalls(30.0), asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(PalaverError) as caught:
        async with calls.call(ANONYMOUS) as running:
            async for _ in running.answer_with(words(3)):
                await asyncio.Event().wait()
    assert caught.value.reason is Reason.READER_TOO_SLOW
    assert 30.0 <= loop.time() - began <= 32.0


async def test_a_slow_reader_who_goes_on_and_a_slow_engine_are_not_ended() -> None:
    async def slow_words() -> AsyncGenerator[Event, None]:
        for _ in range(3):
            await asyncio.sleep(100)
            yield Delta("word ", 1)

    calls, count = RunningCalls(30.0), 0
    async with calls.call(ANONYMOUS) as running:
        async for _ in running.answer_with(slow_words()):
            await asyncio.sleep(28)
            count += 1
    assert count == 3
