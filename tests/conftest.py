"""A real server on a real port, wired by the application itself, with the scripted engine."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import hypothesis
import pytest

from palaver.v1 import chat_service_pb2_grpc, model_service_pb2_grpc
from palaver_server.app import App
from palaver_server.app.wiring import new_engine
from palaver_server.core.engine import Engine
from palaver_server.core.model import LoadProgress
from palaver_server.settings import load_settings

# A busy machine makes any example slow: time says nothing about what a property is about.
hypothesis.settings.register_profile("palaver", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("palaver")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's job in the background ignores Ctrl-C, and so would every program that a test presses it for.
    signal.signal(signal.SIGINT, signal.default_int_handler)
# The port of metrics is a fixed one by default, and tests run many servers at once: those that want it say where.
os.environ.setdefault("PALAVER_METRICS_LISTEN", "")
os.environ.setdefault("PALAVER_CONTROL_SOCKET", "")


class Announced:
    """Hears of the start."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.address: asyncio.Future[str] = loop.create_future()
        self.is_ready = asyncio.Event()
        self.phases: list[LoadProgress] = []

    def listening(self, address: str) -> None:
        self.address.set_result(address)

    def progress(self, progress: LoadProgress) -> None:
        self.phases.append(progress)

    def ready(self, address: str, model_id: str, seconds: float) -> None:
        self.is_ready.set()

    def close(self) -> None:
        pass


@dataclass
class Serving:
    """A running server and a channel to it."""

    app: App
    engine: Engine
    announced: Announced
    address: str
    channel: grpc.aio.Channel
    finished: asyncio.Task[int]

    @property
    def chat(self) -> chat_service_pb2_grpc.ChatServiceAsyncStub:
        return chat_service_pb2_grpc.ChatServiceStub(self.channel)  # type: ignore[return-value]

    @property
    def models(self) -> model_service_pb2_grpc.ModelServiceAsyncStub:
        return model_service_pb2_grpc.ModelServiceStub(self.channel)  # type: ignore[return-value]

    async def stop(self) -> int:
        """Ask as SIGTERM does, and give the exit code."""
        self.app.ask_to_stop()
        return await self.finished


Serve = Callable[..., Awaitable[Serving]]


@asynccontextmanager
async def running_server(*, wait_until_ready: bool = True, **flags: Any) -> AsyncIterator[Serving]:
    # Whoever runs the tests may have keys of their own.
    defaults = {
        "engine": "scripted",
        "listen": "127.0.0.1:0",
        "grace": 0.0,
        "keys_file": Path("/nonexistent/keys.json"),
    }
    settings = load_settings(**{**defaults, **flags})
    announced = Announced()
    engine = new_engine(settings, ())
    app = App(settings, engine, announced)
    finished = asyncio.create_task(app.run())
    address_task = asyncio.ensure_future(announced.address)
    await asyncio.wait({finished, address_task}, return_when=asyncio.FIRST_COMPLETED)
    if finished.done():
        address_task.cancel()
        finished.result()
    try:
        async with grpc.aio.insecure_channel(announced.address.result()) as channel:
            if wait_until_ready:
                await announced.is_ready.wait()
            yield Serving(app, engine, announced, announced.address.result(), channel, finished)
    finally:
        app.ask_to_stop()
        await finished


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start servers with ``await serve(max_concurrent_requests=4, ...)``; all end with the test."""
    async with AsyncExitStack() as stack:

        async def start(**flags: Any) -> Serving:
            return await stack.enter_async_context(running_server(**flags))

        yield start
