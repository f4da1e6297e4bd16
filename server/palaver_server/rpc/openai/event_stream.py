"""Writes server-sent events; a comment line is what keeps them alive."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from google.api import httpbody_pb2

from palaver_server.rpc.call import Call
from palaver_server.rpc.kept_alive import Context, KeptAlive
from palaver_server.rpc.openai.chunks import COMMENT

CONTENT_TYPE = "text/event-stream; charset=utf-8"


class EventStream:
    """One stream of events to one caller. Writing waits while the reader is slow."""

    def __init__(self, context: Context, call: Call) -> None:
        self._call = call
        self._messages = KeptAlive(context, call, lambda: self._message(COMMENT))

    @property
    def has_begun(self) -> bool:
        """Something was sent: the HTTP status is out, and an error can only be an event."""
        return self._call.has_answered

    async def send(self, events: bytes) -> None:
        """Send whole events."""
        await self._messages.write(self._message(events))

    async def send_last(self, events: bytes) -> None:
        """Send why the call fails, to a reader who still reads."""
        await self._messages.write_last(self._message(events))

    def kept_alive(self, seconds: float) -> AbstractAsyncContextManager[None]:
        """Send a comment whenever nothing was sent for so long, during the body."""
        return self._messages.kept_alive(seconds)

    def _message(self, events: bytes) -> httpbody_pb2.HttpBody:
        if self._call.has_answered:
            return httpbody_pb2.HttpBody(data=events)
        return httpbody_pb2.HttpBody(content_type=CONTENT_TYPE, data=events)  # the first one decides
