"""What the edge costs: the same calls to the same server, with Envoy and without, in turns.

    python -m tests.bench.edge_cost

Prints the p50 and p99 of a unary call over gRPC, and Envoy's CPU a streamed chunk for each transport. The scripted
engine answers, so that the figures are those of the way and not of a model. An edge's call includes its two questions
to the server: who calls, and may they now.
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
from pathlib import Path

import click
import grpc
import httpx
import psutil

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, role_pb2

ROUNDS = 5
CALLS = 300
"""Unary calls a round and way."""
STREAMS, CHUNKS = 16, 400


@contextlib.asynccontextmanager
async def pair(*flags: str) -> AsyncIterator[tuple[str, str, Path, psutil.Process]]:
    """Run ``palaver up``; give the direct address, the edge's, the CA and Envoy's process."""
    with tempfile.TemporaryDirectory(prefix="palaver-bench-") as state:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "palaver_server", "up", "--engine", "scripted", "--state-dir", state),
            *("--listen", "127.0.0.1:0", "--edge-listen", "127.0.0.1:0", "--edge-status-listen", "127.0.0.1:0"),
            *("--log-format", "json", "--log-level", "warning", "--edge-access-log", f"{state}/access.log", *flags),
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
            yield (
                direct,
                edge,
                Path(state, "tls", "ca.crt"),
                next(child for child in children if child.name() == "envoy"),
            )
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


async def unary() -> None:
    """Compare unary calls."""
    async with pair() as (direct, edge, ca, _):
        credentials = grpc.ssl_channel_credentials(ca.read_bytes())
        async with grpc.aio.insecure_channel(direct) as plain, grpc.aio.secure_channel(edge, credentials) as secured:
            ways = {
                "direct": chat_service_pb2_grpc.ChatServiceStub(plain),
                "edge": chat_service_pb2_grpc.ChatServiceStub(secured),
            }
            took: dict[str, list[float]] = {name: [] for name in ways}
            for stub in ways.values():
                await stub.Chat(request())  # connects
            for _ in range(ROUNDS):
                for name, stub in ways.items():
                    took[name] += await milliseconds(lambda stub=stub: stub.Chat(request()))
    quantiles = {name: statistics.quantiles(values, n=100) for name, values in took.items()}
    click.echo(f"unary gRPC call, {ROUNDS * CALLS} each    p50 ms   p99 ms")
    for name, values in quantiles.items():
        click.echo(f"  {name:<24}      {values[49]:7.2f}  {values[98]:7.2f}")
    added = [quantiles["edge"][number] - quantiles["direct"][number] for number in (49, 98)]
    click.echo(f"  {'added':<24}      {added[0]:7.2f}  {added[1]:7.2f}")


async def streamed() -> None:
    """Envoy's CPU a chunk, for each transport."""
    async with pair("--scripted-tokens", str(CHUNKS), "--scripted-interval", "0.01") as (_, edge, ca, envoy):
        context = ssl.create_default_context(cafile=str(ca))
        limits = httpx.Limits(max_connections=STREAMS)
        body = {"messages": [{"role": "ROLE_USER", "content": [{"text": "hi"}]}]}
        openai = {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        credentials = grpc.ssl_channel_credentials(ca.read_bytes())
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
                before = envoy.cpu_times()
                chunks = sum(await asyncio.gather(*(call() for _ in range(STREAMS))))
                after = envoy.cpu_times()
                spent = after.user + after.system - before.user - before.system
                click.echo(f"  {name:<24}  {chunks:>6} chunks  {spent / chunks * 1e6:6.1f}")


async def main() -> None:
    """Measure and print."""
    await unary()
    await streamed()


if __name__ == "__main__":
    asyncio.run(main())
