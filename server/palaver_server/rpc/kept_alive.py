"""Keeps a stream to an HTTP client alive while the model is silent.

Proxies and clients give a connection up that says nothing for some time, and a long prompt or a full queue may keep a
first token waiting longer than that. gRPC asks with pings; HTTP needs a message that means nothing, every few seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Generic, TypeVar

import grpc

from palaver_server.rpc.call import Call
from palaver_server.rpc.errors import LAST_WORDS_SECONDS

Context = grpc.aio.ServicerContext[Any, Any]
Message = TypeVar("Message")


class KeptAlive(Generic[Message]):
    """The messages of one call to one caller. Writing waits while the reader is slow.

    Args:
        context: of the call.
        call: the same; told that it has answered once anything is sent.
        new_filler: makes a message that means nothing.
    """

    def __init__(self, context: Context, call: Call, new_filler: Callable[[], Message]) -> None:
        self._write = context.write
        self._call = call
        self._new_filler = new_filler
        self._turn = asyncio.Lock()  # gRPC takes one write at a time, and fillers come from another task
        self._loop = asyncio.get_running_loop()
        self._last_write = self._loop.time()
        self._is_stuck = False  # a write was broken off, as its reader does not read: gRPC takes no other

    async def write(self, message: Message) -> None:
        """Send a message."""
        async with self._turn:
            self._call.has_answered = True
            try:
                await self._write(message)
            except asyncio.CancelledError:
                self._is_stuck = True
                raise
            self._last_write = self._loop.time()

    async def write_last(self, message: Message) -> None:
        """Send why the call fails, to a reader who still reads."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                if not self._is_stuck:
                    await self.write(message)

    @asynccontextmanager
    async def kept_alive(self, seconds: float) -> AsyncIterator[None]:
        """Send a filler whenever nothing was sent for so long, during the body."""
        ticker = asyncio.create_task(self._fill(seconds), name="fillers of a stream")
        try:
            yield
        finally:
            # A filler on its way is let through: half a write would spoil the next one. But not for ever.
            try:
                async with asyncio.timeout(LAST_WORDS_SECONDS), self._turn:
                    ticker.cancel()
            except TimeoutError:
                self._is_stuck = True
                ticker.cancel()

    async def _fill(self, seconds: float) -> None:
        with suppress(grpc.aio.InternalError):  # the reader is gone; the call itself hears of it, too
            while True:
                due = self._last_write + seconds
                await asyncio.sleep(due - self._loop.time())
                if self._last_write + seconds <= due and not self._turn.locked():
                    await self.write(self._new_filler())
