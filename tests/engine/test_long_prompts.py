"""Streams that run go on while a long conversation is rendered and tokenized beside them."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from palaver_server.core.events import Delta
from palaver_server.engine.vllm.engine import VllmEngine
from tests.engine.conftest import say

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300), pytest.mark.thorough]

STREAMS = 64
LONG_TOKENS = 100_000
CONVERSATIONS = 3
TURNS = 21
LONG_TURN = "The song goes on and on without an end, and nobody knows why. " * 240
TICK_SECONDS = 0.002


def longest_gap(times: list[float], began: float, ended: float) -> float:
    """The longest silence within a time, counted also where it has begun before or ends after it."""
    return max(
        (later - earlier for earlier, later in pairwise([*times, ended]) if later > began and earlier < ended),
        default=ended - began,
    )


async def test_streams_go_on_while_a_hundred_thousand_tokens_are_rendered(glm: VllmEngine) -> None:
    loop = asyncio.get_running_loop()
    streams: list[list[float]] = [[] for _ in range(STREAMS)]
    ticks: list[float] = []

    async def read(times: list[float]) -> None:
        request = say("Count to 21.", "1 2 3.", "Sing without end.", temperature=0.0, max_output_tokens=1900)
        async for event in glm.generate(await glm.prepare(request)):
            times += [loop.time()] if isinstance(event, Delta) else []

    async def tick() -> None:
        while True:
            ticks.append(loop.time())
            await asyncio.sleep(TICK_SECONDS)

    running = [asyncio.create_task(read(times)) for times in streams]
    ticking = asyncio.create_task(tick())
    try:
        async with asyncio.timeout(60):
            while not all(streams):
                await asyncio.sleep(TICK_SECONDS)
        spans = []
        for _ in range(CONVERSATIONS):
            began = loop.time()
            count = await glm.count_tokens(say(*[LONG_TURN] * TURNS))
            spans.append((began, loop.time()))
            assert count.prompt_token_count > LONG_TOKENS
    finally:
        for task in (*running, ticking):
            task.cancel()
        await asyncio.gather(*running, ticking, return_exceptions=True)

    # What stands still while a conversation is worked on stands still for all of that time. The best of several
    # counts, as other work on the machine makes gaps of its own.
    of_the_loop = [longest_gap(ticks, *span) / (span[1] - span[0]) for span in spans]
    of_streams = [max(longest_gap(times, *span) for times in streams) / (span[1] - span[0]) for span in spans]
    assert min(of_the_loop) < 0.5, f"the event loop stood still for these parts of {spans}: {of_the_loop}"
    assert min(of_streams) < 0.5, f"a stream stood still for these parts of {spans}: {of_streams}"
