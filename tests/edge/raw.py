"""Bytes over TLS as no client library would send them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tests.edge.conftest import Pair

FOLLOWING_SECONDS = 0.5
"""Once something came, what would follow it is a moment behind."""


@dataclass
class Raw:
    """What a connection brought back."""

    data: bytes
    is_closed: bool

    @property
    def status(self) -> int:
        return int(self.data.split(b" ", 2)[1]) if self.data.startswith(b"HTTP/1.1 ") else 0


async def raw(
    pair: Pair, parts: Sequence[bytes], *, alpn: str = "http/1.1", pause: float = 0.0, seconds: float = 15
) -> Raw:
    """Send parts and read until the other side closes, or for so long."""
    context = pair.ssl_context
    context.set_alpn_protocols([alpn])
    reader, writer = await asyncio.open_connection("127.0.0.1", pair.port, ssl=context, server_hostname="localhost")
    received = Raw(b"", is_closed=False)
    reading = asyncio.create_task(_read(reader, received))
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.wait({reading}, timeout=pause)
        await asyncio.wait({reading}, timeout=seconds)
    except OSError:  # reset while we wrote
        received.is_closed = True
    finally:
        reading.cancel()
        await asyncio.wait({reading})
        writer.transport.abort()
    return received


async def _read(reader: asyncio.StreamReader, received: Raw) -> None:
    try:
        while True:
            async with asyncio.timeout(FOLLOWING_SECONDS if received.data else None):
                chunk = await reader.read(65536)
            if not chunk:
                break
            received.data += chunk
    except TimeoutError:
        return
    except OSError:
        pass
    received.is_closed = True


def request(*lines: str, body: bytes = b"") -> bytes:
    """An HTTP/1.1 request of these lines."""
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body
