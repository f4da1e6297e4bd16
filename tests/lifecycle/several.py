"""A server of several processes."""

from __future__ import annotations

import asyncio
import collections
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import psutil

from palaver_server.app.front_ends.child import MODULE
from tests.lifecycle.conftest import Reader, ServerProcess, StartServer

FRONT_ENDS = 2
CALLERS = 24
"""Connections; that the kernel deals all of them to one of two processes happens once in 8 million starts."""


@dataclass
class Several:
    """A server of several processes, and what it has said of itself."""

    server: ServerProcess

    @property
    def process(self) -> asyncio.subprocess.Process:
        return self.server.process

    def others(self) -> list[psutil.Process]:
        """The processes but the first."""
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if MODULE in child.cmdline()]

    def events(self, name: str) -> list[dict]:
        lines = [json.loads(line) for line in self.server.lines if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def calls_by_process(self) -> collections.Counter:
        """Calls that each process has answered."""
        return collections.Counter(line.get("front_end", 0) for line in self.events("call"))

    @asynccontextmanager
    async def channels(self, count: int = CALLERS) -> AsyncIterator[list[grpc.aio.Channel]]:
        """Each with a connection of its own."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.aio.insecure_channel(self.server.address, options) for _ in range(count)]
        try:
            yield channels
        finally:
            for channel in channels:
                await channel.close()


async def start_several(start_server: StartServer, *flags: str) -> Several:
    """Start a server of ``FRONT_ENDS`` processes that share a TCP port."""
    several = ("--listen", "127.0.0.1:0", "--front-ends", str(FRONT_ENDS), "--metrics-listen", "127.0.0.1:0")
    server = await start_server(*several, *flags, seconds=225, own_group=True)
    server.address = json.loads(await server.said('"event": "listening"'))["address"]
    return Several(server)


async def begun(channels: list[grpc.aio.Channel], text: str = "hi") -> list[Reader]:
    """A stream on each channel, once all have had their first words."""
    readers = [Reader(channel, text) for channel in channels]
    await asyncio.gather(*(reader.has_begun.wait() for reader in readers))
    return readers
