"""Callers that put every test to both clients.

The real server is used wherever it can play the case (``serve`` of ``tests/conftest.py``, ``palaver serve`` as a
child), and ``fake_server`` where it cannot.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from palaver.v1 import chat_service_pb2
from palaver_client import AsyncClient, AsyncConversation, Client, Conversation, RetryPolicy
from tests.client.fake_server import Act, Failure, FakeServer, Running, start_fake

QUICK = RetryPolicy(initial_backoff=0.01, max_backoff=0.02, jitter=0)


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    fake = FakeServer()
    running = start_fake(fake)
    fake.address = running.address
    yield fake
    running.stop()


class SyncCaller:
    """``Client`` in a thread, so that a test reads the same for both clients."""

    kind = "sync"

    def __init__(self, address: str, **settings: Any) -> None:
        self.client = Client(address, **{"retry": QUICK, "timeout": 20, **settings})

    async def chat(self, *arguments: Any, **options: Any) -> Any:
        return await asyncio.to_thread(self.client.chat, *arguments, **options)

    async def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        return await asyncio.to_thread(getattr(self.client, name), *arguments, **options)

    async def read(self, stream: Any, pieces: int | None = None) -> list[str]:
        """Read so many pieces, or all."""
        return await asyncio.to_thread(self._read, stream, pieces)

    @staticmethod
    def _read(stream: Any, pieces: int | None) -> list[str]:
        return list(stream) if pieces is None else [next(stream) for _ in range(pieces)]

    async def events(self, stream: Any) -> list[chat_service_pb2.StreamChatResponse]:
        return await asyncio.to_thread(lambda: list(stream.events()))

    def conversation(self, **settings: Any) -> Conversation:
        return Conversation(self.client, **settings)

    async def ask(self, conversation: Any, *arguments: Any, **options: Any) -> Any:
        return await asyncio.to_thread(conversation.ask, *arguments, **options)

    async def close(self, stream_or_client: Any) -> None:
        await asyncio.to_thread(stream_or_client.close)


class AsyncCaller:
    """``AsyncClient``."""

    kind = "async"

    def __init__(self, address: str, **settings: Any) -> None:
        self.client = AsyncClient(address, **{"retry": QUICK, "timeout": 20, **settings})

    async def chat(self, *arguments: Any, **options: Any) -> Any:
        return await self.client.chat(*arguments, **options)

    async def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        return await getattr(self.client, name)(*arguments, **options)

    async def read(self, stream: Any, pieces: int | None = None) -> list[str]:
        if pieces is None:
            return [piece async for piece in stream]
        return [await anext(stream) for _ in range(pieces)]

    async def events(self, stream: Any) -> list[chat_service_pb2.StreamChatResponse]:
        return [event async for event in stream.events()]

    def conversation(self, **settings: Any) -> AsyncConversation:
        return AsyncConversation(self.client, **settings)

    async def ask(self, conversation: Any, *arguments: Any, **options: Any) -> Any:
        return await conversation.ask(*arguments, **options)

    async def close(self, stream_or_client: Any) -> None:
        await stream_or_client.close()


Caller = SyncCaller | AsyncCaller


@pytest.fixture(params=[SyncCaller, AsyncCaller], ids=["sync", "async"])
async def new_caller(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Caller]]:
    """Makes callers of either kind; all are closed with the test."""
    callers: list[Caller] = []

    def make(address: str, **settings: Any) -> Caller:
        callers.append(request.param(address, **settings))
        return callers[-1]

    yield make
    for caller in callers:
        await caller.close(caller.client)


@pytest.fixture
def caller(new_caller: Callable[..., Caller], fake: FakeServer) -> Caller:
    """A caller of the fake server."""
    return new_caller(fake.address)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own settings decide nothing here."""
    for name in ("PALAVER_ADDRESS", "PALAVER_API_KEY", "PALAVER_CA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def start_again() -> Iterator[Callable[..., Running]]:
    """Starts fake servers at addresses of the test's choice."""
    with ExitStack() as stack:

        def start(fake: FakeServer, address: str = "127.0.0.1:0") -> Running:
            running = start_fake(fake, address)
            stack.callback(running.stop)
            return running

        yield start


@pytest.fixture
def act() -> type[Act]:
    """``act(words=("a",), hangs=True)``: what the fake server does with a call."""
    return Act


@pytest.fixture
def failure() -> type[Failure]:
    """``failure(code, message, reason=...)``: how a call fails."""
    return Failure


@pytest.fixture
async def new_async(fake: FakeServer) -> AsyncIterator[AsyncClient]:
    """An ``AsyncClient`` of the fake server, for what has no counterpart without asyncio."""
    async with AsyncClient(fake.address, retry=QUICK, timeout=20) as client:
        yield client
