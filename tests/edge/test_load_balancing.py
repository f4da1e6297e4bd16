"""A real Envoy before three servers of unequal strength: their shares of the calls follow what they report."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
import pytest

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, role_pb2
from palaver_server.edge.binary import find_envoy
from tests.conftest import Serving
from tests.scrape import scrape
from tests.wire.test_load_reports import reports

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "balancer" / "envoy.yaml"
CALLERS = 12
SETTLING_SECONDS = 5
MEASURED_SECONDS = 5
PENALTY = 1
"""As the configuration has it."""
TOLERANCE = 0.06
"""Of a share. The weights move a little while the calls are counted."""
SLOWER = ({"scripted_interval": 0.01}, {"scripted_interval": 0.02}, {"scripted_interval": 0.04})
ONE_FAILS = ({"scripted_interval": 0.01}, {"scripted_interval": 0.01}, {"scripted_fail_after": 0})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextlib.asynccontextmanager
async def balancer(folder: Path, servers: Sequence[Serving], *, is_by_stream: bool) -> AsyncIterator[grpc.aio.Channel]:
    """Run the documented configuration before these servers, with shorter times."""
    port = free_port()
    text = CONFIGURATION.read_text().replace("port_value: 50050", f"port_value: {port}")
    for place, server in enumerate(servers):
        text = text.replace(f"port_value: {50051 + place}", f"port_value: {server.address.rpartition(':')[2]}")
    text = text.replace("blackout_period: 5s ", "blackout_period: 1s ")
    if not is_by_stream:
        text = text.replace("enable_oob_load_report: true", "enable_oob_load_report: false")
    (folder / "envoy.yaml").write_text(text)
    process = await asyncio.create_subprocess_exec(
        *(str(find_envoy(None)), "-c", str(folder / "envoy.yaml"), "--disable-hot-restart", "--concurrency", "1"),
        *("--log-path", str(folder / "envoy.log"), "--log-level", "warning"),
    )
    try:
        options = [("grpc.enable_http_proxy", 0)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            await asyncio.wait_for(channel.channel_ready(), 60)
            yield channel
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def answered(servers: Sequence[Serving]) -> list[float]:
    async def count(server: Serving) -> float:
        scraped = await asyncio.to_thread(scrape, server.app.metrics_address)
        return scraped.of("palaver_calls_total", service="palaver.v1.ChatService")

    return list(await asyncio.gather(*(count(server) for server in servers)))


async def weight(server: Serving) -> float:
    """A server's weight as Envoy computes it, from what the server tells at this moment."""
    stream = reports(server.channel)
    report = await stream.read()
    stream.cancel()
    faults = report.eps / report.rps_fractional * PENALTY
    return report.rps_fractional / (report.application_utilization + faults)


async def call_on(channel: grpc.aio.Channel) -> None:
    stub = chat_service_pb2_grpc.ChatServiceStub(channel)
    request = chat_service_pb2.ChatRequest()
    request.messages.add(role=role_pb2.ROLE_USER).content.add(text="one two three four five six seven eight nine ten")
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await stub.Chat(request)


@pytest.mark.parametrize(
    ("servers", "is_by_stream"),
    [
        pytest.param(SLOWER, True, id="out of band"),
        pytest.param(SLOWER, False, id="in trailers", marks=pytest.mark.thorough),
        pytest.param(ONE_FAILS, True, id="one that fails at once", marks=pytest.mark.thorough),
    ],
)
async def test_shares_follow_the_weights_of_the_reports(serve, tmp_path, servers, is_by_stream):
    flags = {"load_reports": "all", "metrics_listen": "127.0.0.1:0", "max_concurrent_requests": 16}
    serving = [await serve(**flags, **one) for one in servers]
    async with balancer(tmp_path, serving, is_by_stream=is_by_stream) as channel:
        callers = [asyncio.create_task(call_on(channel)) for _ in range(CALLERS)]
        await asyncio.sleep(SETTLING_SECONDS)
        before, first = await answered(serving), [await weight(server) for server in serving]
        await asyncio.sleep(MEASURED_SECONDS)
        after, last = await answered(serving), [await weight(server) for server in serving]
        for caller in callers:
            caller.cancel()
        results = await asyncio.gather(*callers, return_exceptions=True)
    assert {type(result) for result in results} == {asyncio.CancelledError}, results
    weights = [(one + other) / 2 for one, other in zip(first, last, strict=True)]
    counted = [late - early for early, late in zip(before, after, strict=True)]
    expected = [one / sum(weights) for one in weights]
    shares = [one / sum(counted) for one in counted]
    assert shares == pytest.approx(expected, abs=TOLERANCE), (counted, weights)
    # And they are unequal enough for that to mean something.
    assert max(expected) - min(expected) > 3 * TOLERANCE, expected
