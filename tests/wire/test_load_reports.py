"""Load reports by ORCA, as a load balancer reads them."""

from __future__ import annotations

import asyncio
import base64
import shutil
import struct
import subprocess
import sys

import grpc
import pytest
from google.protobuf.message import Message
from xds.data.orca.v3.orca_load_report_pb2 import OrcaLoadReport
from xds.service.orca.v3.orca_pb2 import OrcaLoadReportRequest

from palaver.v1 import chat_service_pb2, role_pb2
from palaver_server.rpc.load_report import MAX_STREAMS
from tests.wire.reasons import reason_of

METHOD = "/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics"
TRAILER = "endpoint-load-metrics-bin"


def request(text: str = "one two three") -> chat_service_pb2.ChatRequest:
    chat = chat_service_pb2.ChatRequest()
    chat.messages.add(role=role_pb2.ROLE_USER).content.add(text=text)
    return chat


def reports(channel: grpc.aio.Channel, seconds: float = 0.1):
    ask = OrcaLoadReportRequest()
    ask.report_interval.FromMilliseconds(round(seconds * 1000))
    return channel.unary_stream(
        METHOD,
        request_serializer=OrcaLoadReportRequest.SerializeToString,
        response_deserializer=OrcaLoadReport.FromString,
    )(ask)


async def trailers_of(address: str, method: str, message: Message) -> dict[str, str]:
    """What a call's trailers say, as the wire has them."""
    data = message.SerializeToString()
    curl = await asyncio.create_subprocess_exec(
        *("curl", "--silent", "--http2-prior-knowledge", "--dump-header", "-", "--output", "/dev/null"),
        *("--header", "content-type: application/grpc", "--header", "te: trailers", "--data-binary", "@-"),
        f"http://{address}/palaver.v1.{method}",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    said, _ = await curl.communicate(struct.pack(">BI", 0, len(data)) + data)
    lines = (line.partition(": ") for line in said.decode().splitlines())
    return {name: value for name, _, value in lines}


def report_in(trailers: dict[str, str]) -> OrcaLoadReport:
    packed = trailers[TRAILER]
    return OrcaLoadReport.FromString(base64.b64decode(packed + "=" * (-len(packed) % 4)))


async def first_that(stream, is_so) -> OrcaLoadReport:
    async with asyncio.timeout(60):
        async for report in stream:
            if is_so(report):
                return report
    raise AssertionError("the reports ended")


async def test_a_balancer_hears_of_running_and_waiting_calls_and_of_the_kv_cache(serve):
    flags = {"max_concurrent_requests": 2, "scripted_first": 1000, "scripted_kv_tokens": 70}
    serving = await serve(load_reports="stream", **flags)
    calls = [serving.chat.Chat(request()) for _ in range(3)]
    full = await first_that(reports(serving.channel), lambda report: report.application_utilization > 1.2)
    assert full.application_utilization <= 1.5
    assert full.named_metrics == {
        "num_requests_running": 2,
        "num_requests_waiting": 1,
        "kv_cache_usage_perc": pytest.approx(2 * 7 / 70),
    }
    for call in calls:
        call.cancel()
    free = await first_that(
        reports(serving.channel),
        lambda report: report.named_metrics["num_requests_running"] == 0 and report.rps_fractional,
    )
    assert free.eps == 0
    assert free.named_metrics["kv_cache_usage_perc"] == 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="grpcio's clients keep these trailers to themselves")
async def test_trailers_tell_the_load_at_the_end_of_each_answer_and_of_each_refusal(serve):
    serving = await serve(
        load_reports="trailers", max_concurrent_requests=1, max_queued_requests=0, scripted_interval=0.01
    )
    alone = await trailers_of(serving.address, "ChatService/Chat", request())
    assert alone["grpc-status"] == "0"
    assert report_in(alone).application_utilization > 0
    stream = serving.chat.StreamChat(chat_service_pb2.StreamChatRequest(chat=request("word " * 5000)))
    await stream.read()
    refused = await trailers_of(serving.address, "ChatService/Chat", request())
    assert refused["grpc-status"] == str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
    assert report_in(refused).eps > 0
    assert report_in(refused).rps_fractional > report_in(alone).rps_fractional
    assert report_in(refused).named_metrics["num_requests_running"] == 1
    stream.cancel()
    count = chat_service_pb2.CountTokensRequest(chat=request())
    assert TRAILER not in await trailers_of(serving.address, "ChatService/CountTokens", count)
    with pytest.raises(grpc.aio.AioRpcError) as unserved:
        await reports(serving.channel).read()
    assert unserved.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_nobody_is_told_unless_a_setting_says_so(serve):
    serving = await serve()
    if shutil.which("curl"):
        assert TRAILER not in await trailers_of(serving.address, "ChatService/Chat", request())
    with pytest.raises(grpc.aio.AioRpcError) as unserved:
        await reports(serving.channel).read()
    assert unserved.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_balancer_needs_no_key(serve, tmp_path):
    command = (
        sys.executable,
        "-m",
        "palaver_server",
        "keys",
        "create",
        "--client",
        "acme",
        "--state-dir",
        str(tmp_path),
    )
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=60)
    serving = await serve(load_reports="all", keys_file=tmp_path / "keys.json")
    assert await reports(serving.channel).read() is not grpc.aio.EOF
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await serving.chat.Chat(request())
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_streams_are_bounded_and_end_when_the_server_stops(serve):
    serving = await serve(load_reports="stream")
    streams = [reports(serving.channel, 1000) for _ in range(MAX_STREAMS)]
    for stream in streams:
        await stream.read()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await reports(serving.channel).read()
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason_of(refused.value.trailing_metadata()) == "SERVER_OVERLOADED"
    streams.pop().cancel()
    serving.app.ask_to_stop()
    for stream in streams:
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await stream.read()
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        assert reason_of(ended.value.trailing_metadata()) == "SERVER_DRAINING"
