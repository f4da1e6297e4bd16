"""Who leaves a scripted engine frees it, and who stays gets a share of it."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import pytest

from palaver_server.core.events import Delta, Event
from palaver_server.engine.scripted.behaviour import ScriptedBehaviour
from palaver_server.engine.scripted.engine import MAX_MERGED_TOKENS, TOKENS_PER_TURN
from tests.scripted.asking import ask, begin, collect, loaded, now


async def test_closing_an_answer_frees_the_engine_at_once() -> None:
    engine = await loaded(ScriptedBehaviour(tokens=10**6, context_length=10**7))
    async with aclosing(await begin(engine, ask())) as events:
        assert await anext(events) == Delta("The", 1)
        assert engine.running_count == 1
    assert engine.running_count == 0


async def test_cancelling_a_waiting_reader_takes_no_time() -> None:
    engine = await loaded(ScriptedBehaviour(first_seconds=1000))
    call = asyncio.create_task(collect(engine, ask()))
    await asyncio.sleep(1)
    call.cancel()
    await asyncio.wait([call])
    assert now() == 1
    assert engine.running_count == 0


@pytest.mark.parametrize("interval", [0, 1e-9])
@pytest.mark.parametrize("is_streamed", [True, False])
async def test_an_answer_without_waits_lets_others_run(interval: float, is_streamed: bool) -> None:
    engine = await loaded(ScriptedBehaviour(tokens=10**5, context_length=10**6, interval_seconds=interval))
    events = await begin(engine, ask(is_streamed=is_streamed))
    await asyncio.sleep(1)  # every token is due

    async def read() -> list[Event]:
        return [event async for event in events]

    long = asyncio.create_task(read())
    turns = 0
    while not long.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10**5 / max(TOKENS_PER_TURN, MAX_MERGED_TOKENS)
    assert sum(event.token_count for event in await long if isinstance(event, Delta)) == 10**5


async def test_answers_that_run_together_advance_together() -> None:
    engine = await loaded(ScriptedBehaviour(tokens=1000))
    counts = [0] * 10

    async def read(index: int) -> None:
        async for event in await begin(engine, ask()):
            counts[index] += isinstance(event, Delta)
            assert max(counts) - min(counts) <= 2 * TOKENS_PER_TURN

    await asyncio.gather(*(read(index) for index in range(10)))
    assert counts == [1000] * 10


async def test_tokens_come_far_faster_than_any_model_writes() -> None:
    engine = await loaded(ScriptedBehaviour(tokens=50_000, context_length=10**6))
    began = time.perf_counter()
    assert len(await collect(engine, ask())) == 50_002
    per_second = 50_000 / (time.perf_counter() - began)
    assert per_second > 10_000, "ten times slower than it is on a laptop"
