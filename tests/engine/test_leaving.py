"""Whoever leaves frees the engine at once."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from palaver_server.core.events import Delta
from palaver_server.core.generation import GenerationRequest
from palaver_server.engine.vllm.engine import VllmEngine
from tests.engine.conftest import say

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

STORY = "Write a long story about a ship and its crew."


async def test_closing_the_answer_frees_the_engine_fifty_times(engine: VllmEngine) -> None:
    for turn in range(50):
        async with aclosing(engine.generate(await engine.prepare(say(STORY)))) as events:
            async for event in events:
                # Leave at the start, or at the first text.
                if turn % 2 == 0:
                    break
                if isinstance(event, Delta):
                    assert engine.running_count == 1
                    break
        assert engine.running_count == 0


async def test_cancelling_the_reader_frees_the_engine_fifty_times(engine: VllmEngine) -> None:
    async def read(request: GenerationRequest, reading: asyncio.Event) -> None:
        async for event in engine.generate(await engine.prepare(request)):
            if isinstance(event, Delta):
                reading.set()

    for turn in range(50):
        reading = asyncio.Event()
        is_streamed = turn % 2 == 0
        task = asyncio.create_task(read(say(STORY, streamed=is_streamed), reading))
        if is_streamed:
            await reading.wait()
        else:  # a call that is not streamed shows nothing before its end
            while engine.running_count == 0:
                await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert engine.running_count == 0


async def test_cancelling_many_at_once_frees_the_engine_for_others(engine: VllmEngine) -> None:
    async def read() -> None:
        async for _ in engine.generate(await engine.prepare(say(STORY))):
            pass

    tasks = [asyncio.create_task(read()) for _ in range(80)]  # more than run at once: some wait
    while engine.running_count < 80:
        await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert engine.running_count == 0
    short = engine.generate(await engine.prepare(say("Hi!", max_output_tokens=2)))
    async with asyncio.timeout(10):
        assert [event async for event in short]


async def test_an_answer_that_is_never_read_costs_nothing(engine: VllmEngine) -> None:
    await engine.generate(await engine.prepare(say(STORY))).aclose()

    assert engine.running_count == 0


async def test_the_tokens_of_an_answer_in_one_piece_are_known_although_nobody_waits_for_it(glm: VllmEngine) -> None:
    request = say(STORY, streamed=False, max_output_tokens=1500, ignores_eos=True)
    prompt = await glm.prepare(request)

    async def read() -> None:
        async for _ in glm.generate(prompt):
            pass

    answering = asyncio.create_task(read())
    processor = glm._loaded().llm.output_processor
    async with asyncio.timeout(120):
        while not any(state.detokenizer.num_output_tokens() >= 5 for state in processor.request_states.values()):
            await asyncio.sleep(0.01)
    answering.cancel()
    await asyncio.gather(answering, return_exceptions=True)

    assert 5 <= request.milestones.given_up_token_count < 1500
