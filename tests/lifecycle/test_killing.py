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

from tests.lifecycle.conftest import ServerProcess

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
pytestmark = pytest.mark.timeout(600)
GONE_SECONDS = 5.0
BEAT_SECONDS = 0.1
HELPERS = ("multiprocessing.resource_tracker", "palaver::FormCompiler")
"""Who can be had again: nobody waits for them, or only for a moment."""
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


async def nobody_left(server: ServerProcess, seconds: float = GONE_SECONDS) -> None:
    """Wait for the end of all who belong to a server with a session of its own, listed before or not."""
    until = time.monotonic() + seconds
    while left := server.session():
        assert time.monotonic() < until, f"still there after {seconds} s: {left}"
        await asyncio.sleep(0.05)


async def within(seconds: float, task: asyncio.Future[T]) -> T:
    """Wait so long by the beats of this loop: where the whole machine stands still, no time passes for the others."""
    began = time.monotonic()
    for _ in range(int(seconds / BEAT_SECONDS)):
        if (await asyncio.wait([task], timeout=BEAT_SECONDS))[0]:
            return await task
    raise AssertionError(f"not within {seconds} s, on a clock {time.monotonic() - began:.1f} s: {task}")


def victim_of(family: list[psutil.Process], who: str) -> psutil.Process:
    return {
        "server": lambda: family[0],
        "fork server": lambda: one(family, "ForkServer"),
        "core": lambda: one(family, "EngineCore"),
        "worker": lambda: one(family, "Worker"),
    }[who]()


def helpers_of(server: ServerProcess) -> list[psutil.Process]:
    commands = [(process, " ".join(process.cmdline())) for process in server.session()]
    return [process for process, command in commands if any(helper in command for helper in HELPERS)]


@pytest.mark.parametrize(
    "who", ["server", "core", *(pytest.param(who, marks=pytest.mark.thorough) for who in ("fork server", "worker"))]
)
async def test_a_death_under_load_ends_every_stream_and_every_process(
    who, start_engine, read_streams, ask, watch_health
):
    server = await start_engine(own_group=True)
    async with server.channel() as channel:
        watch = watch_health(channel)
        readers = await read_streams(channel, 8, "Write a long story about a ship.")
        victim_of(server.processes(), who).kill()
        # A call that begins at the very moment of the death must not hang.
        late = asyncio.create_task(ask(channel))
        for error in await within(1.5, asyncio.gather(*(reader.task for reader in readers))):
            assert error is not None
            assert error.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await within(10, late)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        if who != "server":
            assert await within(GONE_SECONDS, asyncio.create_task(server.process.wait())) == 1
            assert (await watch)[-1] == NOT_SERVING
    await nobody_left(server)


@pytest.mark.thorough
@pytest.mark.parametrize("who", ["server", "fork server", "core", "worker"])
async def test_a_death_of_the_idle_ends_every_process(who, start_engine):
    server = await start_engine(own_group=True)
    victim_of(server.processes(), who).kill()
    code = await within(GONE_SECONDS, asyncio.create_task(server.process.wait()))
    assert code == (-signal.SIGKILL if who == "server" else 1)
    await nobody_left(server)
    if who == "fork server":
        assert "its fork server was killed by SIGKILL" in await server.said("the engine failed")


@pytest.mark.thorough
async def test_a_death_of_who_only_helps_costs_nobody_anything(start_engine, read_streams, ask):
    server = await start_engine(own_group=True)
    async with asyncio.timeout(120):
        while len(helpers := helpers_of(server)) < len(HELPERS):  # the compiler starts when the engine is ready
            await asyncio.sleep(0.05)
    family = server.processes()
    compiler = one(family, "FormCompiler")
    assert compiler.ppid() == one(family, "ForkServer").pid  # it imports nothing, and shares what was imported
    async with server.channel() as channel:
        readers = await read_streams(channel, 8, "Tell me about ships.", 50)
        for helper in helpers:
            helper.kill()
        for reader in readers:
            assert await asyncio.wait_for(reader.task, 120) is None
            assert reader.events[-1] == "finished"
        assert (await ask(channel)).choices
        server.process.terminate()
        assert await asyncio.wait_for(server.process.wait(), 30) == 0
    await nobody_left(server)


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
