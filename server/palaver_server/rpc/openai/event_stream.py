"""Writes server-sent events, and keeps a stream alive while the model is silent.

Proxies and clients give a connection up that says nothing for some time, and a long prompt or a full queue may keep a
first token waiting longer than that. A comment line every few seconds prevents it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
from google.api import httpbody_pb2

from palaver_server.rpc.call import Call
from palaver_server.rpc.openai.chunks import COMMENT

CONTENT_TYPE = "text/event-stream; charset=utf-8"

Context = grpc.aio.ServicerContext[Any, Any]


class EventStream:
    """One stream of events to one caller. Writing waits while the reader is slow."""

    def __init__(self, context: Context, call: Call) -> None:
        self._write = context.write
        self._call = call
        self._turn = asyncio.Lock()  # gRPC takes one write at a time, and comments come from another task
        self._loop = asyncio.get_running_loop()
        self._last_write = self._loop.time()

    @property
    def has_begun(self) -> bool:
        """Something was sent: the HTTP status is out, and an error can only be an event."""
        return self._call.has_answered

    async def send(self, events: bytes) -> None:
        """Send whole events."""
        async with self._turn:
            if self._call.has_answered:
                await self._write(httpbody_pb2.HttpBody(data=events))
            else:  # the first message decides the content type
                self._call.has_answered = True
                await self._write(httpbody_pb2.HttpBody(content_type=CONTENT_TYPE, data=events))
            self._last_write = self._loop.time()

    @asynccontextmanager
    async def kept_alive(self, seconds: float) -> AsyncIterator[None]:
        """Send a comment whenever nothing was sent for so long, during the body."""
        ticker = asyncio.create_task(self._comment(seconds), name="event stream comments")
        try:
            yield
        finally:
            async with self._turn:  # a comment on its way is let through: half a write would spoil the next one
                ticker.cancel()

    async def _comment(self, seconds: float) -> None:
        with suppress(grpc.aio.InternalError):  # the reader is gone; the call itself hears of it, too
            while True:
                due = self._last_write + seconds
                await asyncio.sleep(due - self._loop.time())
                if self._last_write + seconds <= due and not self._turn.locked():
                    await self.send(COMMENT)
