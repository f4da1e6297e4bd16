"""Real faults of running servers. Each lasts as long as its block."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psutil

from tests.edge.agreement.calls import GRPC, Ask, Caller, Seen
from tests.edge.conftest import Pair

CHAT, STREAM = (GRPC, False), (GRPC, True)
SHORT, LONG = Ask("one two three"), Ask("word " * 6000)
MANY = 120

Call = Callable[[], Awaitable[Seen]]


@contextlib.asynccontextmanager
async def going_on(*calls: Call, pause: float = 0.1) -> AsyncIterator[None]:
    """Make calls over and over, each on its own."""

    async def over_and_over(call: Call) -> None:
        task = asyncio.current_task()
        while task is not None and not task.cancelling():  # a call takes a cancellation for its own
            await call()
            await asyncio.sleep(pause)

    tasks = [asyncio.create_task(over_and_over(call)) for call in calls]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def full(caller: Caller, places: int) -> AsyncIterator[None]:
    """All places are taken, and others call."""
    async with (
        going_on(*[lambda: caller.call(STREAM, LONG)] * places),
        going_on(lambda: caller.call(CHAT, SHORT)),
    ):
        yield


@contextlib.asynccontextmanager
async def hanging(caller: Caller) -> AsyncIterator[None]:
    """An answer stands still in the engine."""
    async with going_on(lambda: caller.call(STREAM, LONG)):
        yield


@contextlib.asynccontextmanager
async def failing(caller: Caller) -> AsyncIterator[None]:
    """The engine gives answers up."""
    async with going_on(*[lambda: caller.call(CHAT, LONG)] * 4):
        yield


@contextlib.asynccontextmanager
async def slow_crowd(caller: Caller) -> AsyncIterator[None]:
    """More callers than a server should have, and each waits for the first word."""
    async with going_on(*[lambda: caller.call(STREAM, SHORT)] * MANY, pause=0):
        yield


@contextlib.asynccontextmanager
async def files_full(caller: Caller) -> AsyncIterator[None]:
    """Calls go on, and no file of the server can grow any more, as on a full disk."""
    server = psutil.Process(caller.pair.process.pid)
    before = server.rlimit(psutil.RLIMIT_FSIZE)
    server.rlimit(psutil.RLIMIT_FSIZE, (1, before[1]))
    try:
        async with going_on(*[lambda: caller.call(CHAT, Ask("one", model="another"))] * 4):
            yield
    finally:
        server.rlimit(psutil.RLIMIT_FSIZE, before)


@contextlib.asynccontextmanager
async def suspended(pair: Pair) -> AsyncIterator[None]:
    """The server's process stands still, as on a machine that swaps itself to death."""
    psutil.Process(pair.process.pid).suspend()
    try:
        yield
    finally:
        psutil.Process(pair.process.pid).resume()


@contextlib.asynccontextmanager
async def expiring(folder: Path) -> AsyncIterator[None]:
    """The certificate in a folder ends tomorrow; a better one is put in its place."""
    yield
    await asyncio.to_thread(make_certificate, folder, 400)


def make_certificate(folder: Path, days: int) -> tuple[Path, Path]:
    """Write certificate and key, in the place of those that are there."""
    chain, key = folder / "short.crt", folder / "short.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", str(days)),
            *("-keyout", f"{key}.new", "-out", f"{chain}.new"),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    Path(f"{key}.new").rename(key)
    Path(f"{chain}.new").rename(chain)
    return chain, key
