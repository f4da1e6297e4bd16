"""What the first front end and another one tell each other: JSON, a line a message, over a pair of sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any, Self

MAX_LINE_BYTES = 64 * 1024 * 1024
"""Figures for Prometheus are the longest: some 100 KB."""

Message = dict[str, Any]
"""Its kind is ``what``."""


class Channel:
    """One end. Belongs to one event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Self:
        """Use one of a pair of sockets."""
        return cls(*await asyncio.open_connection(sock=end, limit=MAX_LINE_BYTES))

    def tell(self, what: str, **content: Any) -> None:
        """Send. Nobody hears it where the other end is gone, whose end is noticed elsewhere."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps({"what": what, **content}).encode() + b"\n")

    async def hear(self) -> Message | None:
        """The next message; None when the other end is gone."""
        try:
            line = await self._reader.readline()
        except ConnectionError:
            return None
        if not line.endswith(b"\n"):
            return None
        message: Message = json.loads(line)
        return message

    def close(self) -> None:
        """Let go."""
        self._writer.close()
