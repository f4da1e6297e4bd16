"""Several processes in front of one vLLM: both answer, and whoever dies, nobody waits for ever and nothing is left."""

from __future__ import annotations

import asyncio
import time

import grpc
import psutil
import pytest

from tests.lifecycle.conftest import Reader
from tests.lifecycle.several import Several, begun, start_several
from tests.lifecycle.test_killing import all_gone, one
from tests.scrape import scrape

pytestmark = pytest.mark.timeout(400)
STORY = "Write a long story about a ship."
STALL_SECONDS = 6


@pytest.fixture
def start(start_server, model):
    async def start_with(*flags: str) -> Several:
        return await start_several(
            start_server, "--engine", "vllm", "--model", model, "--max-model-len", "2048", *flags
        )

    return start_with


async def ended_unavailable(readers: list[Reader], seconds: float) -> None:
    errors = await asyncio.wait_for(asyncio.gather(*(reader.task for reader in readers)), seconds)
    assert {error and error.code() for error in errors} == {grpc.StatusCode.UNAVAILABLE}


async def channel_of(server: Several, channels: list[grpc.aio.Channel], front_end: int) -> grpc.aio.Channel:
    """One of these that leads to a front end."""
    for seen, channel in enumerate(channels):
        assert await Reader(channel, "Hi", 1).task is None
        async with asyncio.timeout(10):
            while len(calls := server.events("call")) <= seen:
                await asyncio.sleep(0.01)
        if calls[-1].get("front_end", 0) == front_end:
            return channel
    raise AssertionError("no connection leads there")


async def test_both_answer_from_one_engine_whose_death_ends_all(start):
    server = await start()
    family = server.server.processes()
    cores = [process for process in family if "EngineCore" in process.name()]
    assert len(cores) == 1
    async with server.channels(16) as channels:
        first = [Reader(channel, "What is the capital of France?", 8) for channel in channels]
        assert [await reader.task for reader in first] == [None] * len(first)
        async with asyncio.timeout(10):
            while server.calls_by_process().total() < len(first):
                await asyncio.sleep(0.01)
        assert set(server.calls_by_process()) == {0, 1}
        told = await asyncio.to_thread(scrape, server.events("metrics port")[0]["address"])
        assert told.of("palaver_calls_total", method="StreamChat", code="OK") == len(first)
        assert told.of("vllm:request_success_total") == len(first) + 2, "and the warm-up of each"
        readers = await begun(channels[:8], STORY)
        cores[0].kill()
        await ended_unavailable(readers, 10)
    assert await asyncio.wait_for(server.process.wait(), 20) == 1
    await all_gone(family)


@pytest.mark.thorough
async def test_an_engine_that_works_for_the_other_alone_does_not_hang_and_one_that_hangs_is_given_up(start):
    server = await start("--engine-stall", str(STALL_SECONDS))
    family = server.server.processes()
    async with server.channels(12) as channels:
        channel = await channel_of(server, channels, 1)
        began = time.monotonic()
        while time.monotonic() - began < 2 * STALL_SECONDS:
            assert await Reader(channel, STORY, 200).task is None
        assert server.process.returncode is None
        readers = await begun([channel], STORY)
        # The first hears every second how many answers the other waits for.
        await asyncio.sleep(2)
        one(family, "EngineCore").suspend()
        await ended_unavailable(readers, 5 * STALL_SECONDS)
    assert await asyncio.wait_for(server.process.wait(), 40) == 1
    await all_gone(family)


@pytest.mark.thorough
@pytest.mark.parametrize("who", ["the first", "the other"])
async def test_a_death_of_a_front_end_leaves_nothing(who, start):
    server = await start("--grace", "60")
    family = server.server.processes()
    async with server.channels(12) as channels:
        readers = [Reader(channel, STORY, 100) for channel in channels]
        await asyncio.gather(*(reader.has_begun.wait() for reader in readers))
        (psutil.Process(server.process.pid) if who == "the first" else server.others()[0]).kill()
        errors = [await asyncio.wait_for(reader.task, 60) for reader in readers]
        lost = [error.code() for error in errors if error is not None]
        assert set(lost) == {grpc.StatusCode.UNAVAILABLE}
        assert len(lost) == len(readers) if who == "the first" else 0 < len(lost) < len(readers)
    assert await asyncio.wait_for(server.process.wait(), 70) == (-9 if who == "the first" else 1)
    await all_gone(family)
