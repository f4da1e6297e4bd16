"""What the edge costs: the same calls to the same server, with Envoy and without, in turns.

    python -m tests.bench.edge_cost

Prints p50 and p99 of a unary call over gRPC and the CPU that server and Envoy spend on it, with keys and without, then
Envoy's CPU a streamed chunk for each transport. The scripted engine answers, so that the figures are those of the way
and not of a model. An edge's call includes its questions to the server: who calls, and, for a key with a limit, may it
call now. CPU is what other work on the machine sways least.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click
import grpc
import httpx
import psutil

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, role_pb2
from palaver_server.core.identity.issuing import create_key
from palaver_server.core.identity.key import Key, Secret
from palaver_server.core.identity.key_file import KeyFile
from palaver_server.settings import Rate

ROUNDS = 5
CALLS = 300
"""Unary calls a round and way."""
STREAMS, CHUNKS = 16, 400


@dataclass(frozen=True)
class Pair:
    """A running server and its Envoy."""

    direct: str
    """The server's own address."""
    edge: str
    ca: Path
    server: psutil.Process
    envoy: psutil.Process


@contextlib.asynccontextmanager
async def pair(*flags: str, keys_file: Path | None = None) -> AsyncIterator[Pair]:
    """Run ``palaver up``."""
    with tempfile.TemporaryDirectory(prefix="palaver-bench-") as state:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "palaver_server", "up", "--engine", "scripted", "--state-dir", state),
            *("--listen", "127.0.0.1:0", "--edge-listen", "127.0.0.1:0", "--edge-status-listen", "127.0.0.1:0"),
            *("--log-format", "json", "--log-level", "warning", "--edge-access-log", f"{state}/access.log", *flags),
            *(() if keys_file is None else ("--keys-file", str(keys_file))),
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        try:
            addresses = []
            async with asyncio.timeout(60):
                while len(addresses) < 2:
                    line = (await process.stderr.readline()).decode()
                    if line.startswith("Listening on "):
                        addresses.append(line.split()[2].rstrip(";").removeprefix("https://"))
                while "Ready after" not in line:
                    line = (await process.stderr.readline()).decode()
            drain = asyncio.create_task(process.stderr.read())
            children = psutil.Process(process.pid).children()
            direct, edge = sorted(addresses, key=lambda address: address.startswith("localhost"))
            envoy = next(child for child in children if child.name() == "envoy")
            yield Pair(direct, edge, Path(state, "tls", "ca.crt"), psutil.Process(process.pid), envoy)
        finally:
            process.terminate()
            await process.wait()
            await drain


def request() -> chat_service_pb2.ChatRequest:
    """A question of about 100 bytes."""
    asked = chat_service_pb2.ChatRequest()
    asked.messages.add(role=role_pb2.ROLE_USER).content.add(text="word " * 20)
    return asked


async def milliseconds(call: Callable[[], Awaitable[object]]) -> list[float]:
    """How long each of many calls takes, one after the other."""
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await call()
        took.append((time.perf_counter() - began) * 1000)
    return took


def cpu_seconds(process: psutil.Process) -> float:
    """All that it has spent so far."""
    spent = process.cpu_times()
    return float(spent.user + spent.system)


async def unary(title: str, *, requests_per_minute: Rate | None) -> None:
    """Compare unary calls, with a key of that limit, or without keys."""
    with tempfile.TemporaryDirectory(prefix="palaver-bench-") as folder:
        keys_file, metadata = Path(folder, "keys.json"), ()
        if requests_per_minute is not None:
            metadata = (("x-api-key", new_key(keys_file, requests_per_minute)),)
        async with pair(keys_file=keys_file) as running:
            await compare(title, running, metadata)


def new_key(keys_file: Path, requests_per_minute: Rate) -> str:
    """Make a key; give its text."""

    def make(key_id: str, now: datetime, secret: Secret) -> Key:
        return Key(
            id=key_id, client="bench", requests_per_minute=requests_per_minute, created_at=now, secrets=(secret,)
        )

    return create_key(KeyFile(keys_file), make).text


async def compare(title: str, running: Pair, metadata: tuple[tuple[str, str], ...]) -> None:
    """Call with and without the edge in turns, and print what both take."""
    credentials = grpc.ssl_channel_credentials(running.ca.read_bytes())
    took: dict[str, list[float]] = {"direct": [], "edge": []}
    spent: dict[str, list[float]] = {"direct": [0.0, 0.0], "edge": [0.0, 0.0]}
    async with (
        grpc.aio.insecure_channel(running.direct) as plain,
        grpc.aio.secure_channel(running.edge, credentials) as secured,
    ):
        ways = {"direct": plain, "edge": secured}
        stubs = {name: chat_service_pb2_grpc.ChatServiceStub(channel) for name, channel in ways.items()}
        for stub in stubs.values():
            await stub.Chat(request(), metadata=metadata)  # connects
        for _ in range(ROUNDS):
            for name, stub in stubs.items():
                before = [cpu_seconds(process) for process in (running.server, running.envoy)]
                took[name] += await milliseconds(lambda stub=stub: stub.Chat(request(), metadata=metadata))
                for place, process in enumerate((running.server, running.envoy)):
                    spent[name][place] += cpu_seconds(process) - before[place]
    click.echo(f"\nunary gRPC call, {title:<22} p50 ms   p99 ms   CPU us: server   Envoy")
    for name, values in took.items():
        quantiles = statistics.quantiles(values, n=100)
        server, envoy = (seconds / len(values) * 1e6 for seconds in spent[name])
        click.echo(f"  {name:<36}  {quantiles[49]:7.2f}  {quantiles[98]:7.2f}  {server:14.0f}  {envoy:6.0f}")


async def streamed() -> None:
    """Envoy's CPU a chunk, for each transport."""
    async with pair("--scripted-tokens", str(CHUNKS), "--scripted-interval", "0.01") as running:
        context, edge = ssl.create_default_context(cafile=str(running.ca)), running.edge
        limits = httpx.Limits(max_connections=STREAMS)
        body = {"messages": [{"role": "ROLE_USER", "content": [{"text": "hi"}]}]}
        openai = {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        credentials = grpc.ssl_channel_credentials(running.ca.read_bytes())
        async with (
            httpx.AsyncClient(base_url=f"https://{edge}", verify=context, limits=limits, timeout=60) as client,
            grpc.aio.secure_channel(edge, credentials) as channel,
        ):

            async def over_grpc() -> int:
                asked = chat_service_pb2.StreamChatRequest(chat=request())
                stub = chat_service_pb2_grpc.ChatServiceStub(channel)
                return len([event async for event in stub.StreamChat(asked) if event.HasField("delta")])

            async def over_http(path: str, sent: dict[str, object]) -> int:
                answer = await client.post(path, content=json.dumps(sent), headers={"content-type": "application/json"})
                return answer.text.count("data: ") - 2

            click.echo(f"\nEnvoy's CPU a chunk, {STREAMS} streams of {CHUNKS}     us")
            for name, call in {
                "gRPC": over_grpc,
                "REST": lambda: over_http("/palaver/v1/chat:stream", body),
                "OpenAI": lambda: over_http("/v1/chat/completions", openai),
            }.items():
                await call()
                before = cpu_seconds(running.envoy)
                chunks = sum(await asyncio.gather(*(call() for _ in range(STREAMS))))
                spent = cpu_seconds(running.envoy) - before
                click.echo(f"  {name:<24}  {chunks:>6} chunks  {spent / chunks * 1e6:6.1f}")


async def main() -> None:
    """Measure and print."""
    await unary("without keys", requests_per_minute=None)
    await unary("a key without a limit", requests_per_minute="unlimited")
    await unary("a key with a limit", requests_per_minute=1_000_000)
    await streamed()


if __name__ == "__main__":
    asyncio.run(main())
