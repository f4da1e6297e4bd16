"""One point of the curve: a server of its own with so many open streams."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import grpc
from pydantic import BaseModel

from palaver.v1 import chat_service_pb2
from tests.bench.clocks import CpuClock, Processes, pss_mib
from tests.bench.peers.palaver_grpc import CHANNEL_OPTIONS, CONNECTIONS, METHOD, start_server, stream_request
from tests.bench.plan import CONVERSATION, Ask
from tests.bench.processes import Launcher

INTERVAL_SECONDS = 0.1
"""Between two tokens of a stream: about what a large model takes. A thousand streams are 10,000 tokens a second."""
ENDLESS = 4000
"""Tokens: more than any point waits for, and within the scripted engine's context."""
OPENING_SECONDS = 120.0
SETTLE_SECONDS = 1.0
SETTLE_STEPS = 30
"""Seconds that are waited at most for what came together while the streams were opened, step by step."""
SETTLED_PACE = 1.05
"""Of the engine's pace: who reads faster than that still reads what had come before."""

Call = grpc.aio.UnaryStreamCall[bytes, bytes]


class Point(BaseModel):
    """What was measured with so many streams open."""

    round: int
    streams: int
    reads: bool
    """Callers read what comes. Without that it waits, in the server's memory or on its way."""
    tokens_per_second: float
    pace: float
    """Tokens that came, of those that the engine would have written at its own pace: below 1 the server is too slow."""
    front_end_us_per_token: float
    client_share: float
    """Of one core."""
    idle_mib: float
    """The server's memory after a first short answer (``Pss``)."""
    open_mib: float
    """With all streams open."""


async def measure(streams: int, *, round_number: int, reads: bool, seconds: float, folder: Path) -> Point:
    """Start a server, open the streams, and watch for so many seconds.

    Raises:
        BenchError: the server does not start.
    """
    async with Launcher(folder) as launcher:
        address, pid = await _start(launcher, streams)
        channels = [grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) for _ in range(CONNECTIONS)]
        try:
            processes = Processes.of(pid)
            return await _measure(channels, processes, streams, round_number=round_number, reads=reads, seconds=seconds)
        finally:
            await asyncio.gather(*(channel.close() for channel in channels))


async def _start(launcher: Launcher, streams: int) -> tuple[str, int]:
    command = [sys.executable, "-m", "palaver_server", "serve", "--listen", "127.0.0.1:0", "--log-format", "json"]
    command += ["--engine", "scripted", "--scripted-tokens", str(ENDLESS), "--metrics-listen", "127.0.0.1:0"]
    command += ["--scripted-interval", str(INTERVAL_SECONDS)]
    command += ["--max-concurrent-requests", str(streams + 1)]
    return await start_server(launcher, command)


async def _measure(
    channels: Sequence[grpc.aio.Channel],
    processes: Processes,
    streams: int,
    *,
    round_number: int,
    reads: bool,
    seconds: float,
) -> Point:
    await _open(channels[0], tokens=1).read()
    idle_mib = pss_mib(processes.front_end)
    calls = [_open(channels[number % CONNECTIONS], tokens=ENDLESS) for number in range(streams)]
    async with asyncio.timeout(OPENING_SECONDS):
        await asyncio.gather(*(call.read() for call in calls))
    messages: list[bytes] = []
    readers = [asyncio.create_task(_read(call, messages)) for call in calls if reads]
    for _ in range(SETTLE_STEPS):
        messages.clear()
        await asyncio.sleep(SETTLE_SECONDS)
        if _tokens(messages) * INTERVAL_SECONDS <= SETTLED_PACE * streams * SETTLE_SECONDS:
            break
    server, client = CpuClock(processes.front_end), CpuClock([os.getpid()])
    before, began = (server.seconds(), client.seconds()), perf_counter()
    messages.clear()
    await asyncio.sleep(seconds)
    took, server_cpu, client_cpu = perf_counter() - began, server.seconds() - before[0], client.seconds() - before[1]
    come = list(messages)
    open_mib = pss_mib(processes.front_end)
    for call in calls:
        call.cancel()
    for ended in await asyncio.gather(*readers, return_exceptions=True):
        if ended is not None and not isinstance(ended, asyncio.CancelledError):
            raise ended
    tokens = _tokens(come)
    return Point(
        round=round_number,
        streams=streams,
        reads=reads,
        tokens_per_second=round(tokens / took, 2),
        pace=round(tokens / took * INTERVAL_SECONDS / streams, 4),
        front_end_us_per_token=round(1e6 * server_cpu / tokens, 3) if tokens else 0.0,
        client_share=round(client_cpu / took, 4),
        idle_mib=round(idle_mib, 2),
        open_mib=round(open_mib, 2),
    )


def _tokens(messages: Sequence[bytes]) -> int:
    """The scripted engine's tokens are words."""
    read = chat_service_pb2.StreamChatResponse.FromString
    return sum(len(read(message).delta.text.split()) for message in messages)


def _open(channel: grpc.aio.Channel, *, tokens: int) -> Call:
    ask = Ask(conversation=CONVERSATION, max_output_tokens=tokens)
    call: Call = channel.unary_stream(METHOD)(stream_request(ask).SerializeToString())
    return call


async def _read(call: Call, messages: list[bytes]) -> None:
    """Until it is cancelled. Not by iterating: a first message was read already, and grpc.aio takes one way only."""
    while isinstance(message := await call.read(), bytes):
        messages.append(message)
