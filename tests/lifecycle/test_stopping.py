from __future__ import annotations

import asyncio
import os
import signal
import time

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SLOW = ("--scripted-tokens", "40", "--scripted-interval", "0.05")
"""An answer of two seconds."""


def details_of(error: grpc.aio.AioRpcError) -> tuple[error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo]:
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(retry)
    return info, retry


def ask_to_stop(server, how: str) -> None:
    if how == "SIGTERM":
        server.process.terminate()
    elif how == "SIGINT to the group":
        os.killpg(server.process.pid, signal.SIGINT)
    else:  # what a service manager does with KillMode=control-group
        for process in server.processes():
            process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT to the group", "SIGTERM to every process"])
async def test_running_streams_end_whole_and_new_calls_are_told_to_come_back(
    how, start_server, read_streams, ask, watch_health
):
    server = await start_server(*SLOW, own_group=True)
    async with server.channel() as channel:
        watch = watch_health(channel)
        readers = await read_streams(channel, 8)
        family = server.processes()
        ask_to_stop(server, how)
        await server.said('"stopping"')
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(channel)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        info, retry = details_of(refused.value)
        assert info.reason == "SERVER_DRAINING"
        assert retry.retry_delay.seconds >= 1
        for reader in readers:
            assert await reader.task is None
            assert (reader.events[0], reader.events[-1]) == ("started", "finished")
            assert len(reader.text.split()) == 40
        assert await server.process.wait() == 0
        assert await watch == [SERVING, NOT_SERVING]
    assert not [process for process in family if process.is_running()]


async def test_health_turns_false_while_calls_are_still_taken(start_server, ask, watch_health):
    server = await start_server("--drain-delay", "1.0")
    async with server.channel() as channel:
        seen: list[int] = []
        watch = watch_health(channel, seen=seen)
        await ask(channel)
        server.process.terminate()
        async with asyncio.timeout(5):
            while seen[-1:] != [NOT_SERVING]:
                await asyncio.sleep(0.01)
        assert (await ask(channel)).choices[0].message.content[0].text == "hi"
        assert await server.process.wait() == 0
        await watch


async def test_a_stream_longer_than_the_grace_ends_with_a_clear_status(start_server, read_streams):
    server = await start_server("--scripted-tokens", "1000", "--scripted-interval", "0.05", "--grace", "0.5")
    async with server.channel() as channel:
        (reader,) = await read_streams(channel, 1)
        server.process.terminate()
        error = await reader.task
        assert error is not None
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        info, _ = details_of(error)
        assert info.reason == "SERVER_DRAINING"
        assert await server.process.wait() == 0


async def test_a_second_signal_ends_at_once(start_server, read_streams):
    server = await start_server("--scripted-tokens", "1000", "--scripted-interval", "0.05")
    async with server.channel() as channel:
        (reader,) = await read_streams(channel, 1)
        family = server.processes()
        server.process.terminate()
        await server.said('"stopping"')
        began = time.monotonic()
        server.process.terminate()
        assert await server.process.wait() == 130
        assert time.monotonic() - began < 1
        error = await reader.task
        assert error is not None
        assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert not [process for process in family if process.is_running()]


async def test_an_idle_server_with_open_watches_and_reflection_streams_stops_within_a_second(
    start_server, watch_health
):
    server = await start_server()
    async with server.channel() as channel:
        watches = [watch_health(channel) for _ in range(5)]
        calls = [reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo() for _ in range(5)]
        for call in calls:
            await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            assert (await call.read()).WhichOneof("message_response") == "list_services_response"
        began = time.monotonic()
        server.process.terminate()
        assert await server.process.wait() == 0
        assert time.monotonic() - began < 1
        for watch in watches:
            assert (await watch)[-1] == NOT_SERVING


async def test_a_signal_while_loading_ends_the_load(start_server):
    server = await start_server("--scripted-load", "600", wait_for="Listening")
    server.process.terminate()
    assert await asyncio.wait_for(server.process.wait(), 5) == 0


async def test_a_second_server_on_the_same_address_says_so(start_server):
    server = await start_server()
    with pytest.raises(AssertionError, match=r"another process listens there|in use"):
        await start_server("--listen", server.address)


async def test_a_failed_load_is_one_sentence_and_exit_code_1(start_server):
    with pytest.raises(AssertionError, match="The weights are gone") as caught:
        await start_server("--scripted-load-error", "The weights are gone.")
    assert "Traceback" not in str(caught.value)


async def test_the_death_of_the_engine_ends_calls_and_the_server(start_server, read_streams, watch_health):
    server = await start_server(
        "--scripted-tokens", "1000", "--scripted-interval", "0.02", "--scripted-die-after", "20"
    )
    async with server.channel() as channel:
        watch = watch_health(channel)
        readers = await read_streams(channel, 4)
        for reader in readers:
            error = await reader.task
            assert error is not None
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert details_of(error)[0].reason == "ENGINE_UNAVAILABLE"
        assert await server.process.wait() == 1
        assert await watch == [SERVING, NOT_SERVING]
