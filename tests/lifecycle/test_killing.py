"""Whoever dies, nobody waits for ever and nothing is left: real engine, real processes, real signals."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TypeVar

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
pytestmark = pytest.mark.timeout(600)
GONE_SECONDS = 5.0
BEAT_SECONDS = 0.1
T = TypeVar("T")


def one(processes: list[psutil.Process], name: str) -> psutil.Process:
    (found,) = (process for process in processes if name in " ".join(process.cmdline()) or name in process.name())
    return found


async def all_gone(processes: list[psutil.Process], seconds: float = GONE_SECONDS) -> None:
    """Wait for the end of them all, zombies included, which have ended."""
    until = time.monotonic() + seconds
    while left := [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]:
        assert time.monotonic() < until, f"still there after {seconds} s: {left}"
        await asyncio.sleep(0.05)


async def within(seconds: float, task: asyncio.Future[T]) -> T:
    """Wait so long by the beats of this loop: where the whole machine stands still, no time passes for the others."""
    began = time.monotonic()
    for _ in range(int(seconds / BEAT_SECONDS)):
        if (await asyncio.wait([task], timeout=BEAT_SECONDS))[0]:
            return await task
    raise AssertionError(f"not within {seconds} s, on a clock {time.monotonic() - began:.1f} s: {task}")


def victim_of(server, family: list[psutil.Process], who: str) -> psutil.Process:
    return {
        "server": lambda: family[0],
        "core": lambda: one(family, "EngineCore"),
        "worker": lambda: one(family, "Worker"),
    }[who]()


@pytest.mark.parametrize("who", ["server", "core", pytest.param("worker", marks=pytest.mark.thorough)])
async def test_a_death_under_load_ends_every_stream_and_every_process(
    who, start_engine, read_streams, ask, watch_health
):
    server = await start_engine()
    family = server.processes()
    async with server.channel() as channel:
        watch = watch_health(channel)
        readers = await read_streams(channel, 8, "Write a long story about a ship.")
        victim_of(server, family, who).kill()
        # A call that begins at the very moment of the death must not hang.
        late = asyncio.create_task(ask(channel))
        for error in await within(1.5, asyncio.gather(*(reader.task for reader in readers))):
            assert error is not None
            assert error.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await within(10, late)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        if who != "server":
            assert await asyncio.wait_for(server.process.wait(), 10) == 1
            assert (await watch)[-1] == NOT_SERVING
    await all_gone(family)


@pytest.mark.thorough
@pytest.mark.parametrize("who", ["server", "core", "worker"])
async def test_a_death_of_the_idle_ends_every_process(who, start_engine):
    server = await start_engine()
    family = server.processes()
    victim_of(server, family, who).kill()
    code = await asyncio.wait_for(server.process.wait(), 10)
    assert code == (-signal.SIGKILL if who == "server" else 1)
    await all_gone(family)


@pytest.mark.parametrize(
    ("victim", "others"),
    [
        pytest.param(0, 0, id="the server, importing", marks=pytest.mark.thorough),
        pytest.param(0, 2, id="the server, whose engine starts"),
        pytest.param(-1, 2, id="the youngest process", marks=pytest.mark.thorough),
    ],
)
async def test_a_death_while_loading_ends_every_process(victim, others, start_engine):
    server = await start_engine(wait_for="starting the engine")
    async with asyncio.timeout(60):
        while len(family := server.processes()) < 1 + others:
            await asyncio.sleep(0.05)
    family[victim].kill()
    code = await asyncio.wait_for(server.process.wait(), 60)
    assert code == (-signal.SIGKILL if victim == 0 else 1)
    await all_gone(family)


async def test_an_engine_that_hangs_is_given_up_and_the_server_exits(start_engine, read_streams, watch_health):
    server = await start_engine("--engine-stall", "3", "--grace", "30")
    family = server.processes()
    async with server.channel() as channel:
        watch = watch_health(channel)
        readers = await read_streams(channel, 4, "Write a long story about a ship.")
        core = one(family, "EngineCore")
        core.suspend()
        began = time.monotonic()
        for reader in readers:
            error = await asyncio.wait_for(reader.task, 20)
            assert error is not None
            assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert 2.5 < time.monotonic() - began < 6
        assert (await asyncio.wait_for(watch, 10))[-1] == NOT_SERVING
        assert await asyncio.wait_for(server.process.wait(), 40) == 1
    await all_gone(family)


async def test_a_plain_sigterm_lets_the_streams_end_and_leaves_nothing(start_engine, read_streams):
    server = await start_engine("--grace", "120")  # so long that a busy machine makes no difference
    family = server.processes()
    async with server.channel() as channel:
        readers = await read_streams(channel, 8, "Tell me about ships.", 50)
        server.process.terminate()
        for reader in readers:
            assert await asyncio.wait_for(reader.task, 120) is None
            assert reader.events[-1] == "finished"
        assert await asyncio.wait_for(server.process.wait(), 30) == 0
    await all_gone(family, 1)
    await server._reader
    assert '"stopped"' in server.lines[-1], "nothing is written after the last word, and no trace of the interpreter"
