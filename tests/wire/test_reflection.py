"""Server reflection as grpcurl and its like use it, in both versions of the protocol."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from palaver_server.core.readiness import Readiness
from palaver_server.rpc.health import HealthServicer
from palaver_server.rpc.interceptor import CallInterceptor
from palaver_server.rpc.reflection import V1, V1ALPHA, ReflectionServicer
from tests.wire.reasons import reason_of

HEALTH = "grpc.health.v1.Health"
BOTH = pytest.mark.parametrize("version", [V1, V1ALPHA])
Request = reflection_pb2.ServerReflectionRequest


@asynccontextmanager
async def serving(servicer: ReflectionServicer) -> AsyncIterator[tuple[grpc.aio.Server, str]]:
    server = grpc.aio.server(interceptors=[CallInterceptor()])
    health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(Readiness(), []), server)
    servicer.add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with asyncio.timeout(30):
            yield server, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def open_stream(channel: grpc.aio.Channel, version: str) -> Any:
    return channel.stream_stream(
        f"/{version}/ServerReflectionInfo",
        Request.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )()


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop run until something that the wire does not report has happened."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)
            gc.collect()


@BOTH
async def test_the_services_given_are_listed_with_reflections_own(version: str) -> None:
    async with serving(ReflectionServicer([HEALTH])) as (_, target), grpc.aio.insecure_channel(target) as channel:
        stream = open_stream(channel, version)
        await stream.write(Request(list_services=""))
        answer = await stream.read()
        assert [service.name for service in answer.list_services_response.service] == [HEALTH, V1, V1ALPHA]
        await stream.done_writing()
        assert await stream.code() == grpc.StatusCode.OK


@BOTH
@pytest.mark.parametrize("service", [HEALTH, V1, V1ALPHA])
async def test_every_service_that_is_listed_can_be_described(version: str, service: str) -> None:
    async with serving(ReflectionServicer([HEALTH])) as (_, target), grpc.aio.insecure_channel(target) as channel:
        stream = open_stream(channel, version)
        await stream.write(Request(file_containing_symbol=service))
        answer = await stream.read()
        pool = descriptor_pool.DescriptorPool()
        for file in answer.file_descriptor_response.file_descriptor_proto:
            pool.Add(descriptor_pb2.FileDescriptorProto.FromString(file))
        methods = pool.FindServiceByName(service).methods_by_name
        assert set(methods) == ({"Check", "List", "Watch"} if service == HEALTH else {"ServerReflectionInfo"})
        package = service.rpartition(".")[0]
        assert all(method.input_type.full_name.startswith(f"{package}.") for method in methods.values())
        stream.cancel()


@BOTH
async def test_an_unknown_symbol_is_an_answer_and_not_the_end_of_the_call(version: str) -> None:
    async with serving(ReflectionServicer([HEALTH])) as (_, target), grpc.aio.insecure_channel(target) as channel:
        stream = open_stream(channel, version)
        await stream.write(Request(file_containing_symbol="palaver.v1.Nothing"))
        assert (await stream.read()).error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
        await stream.write(Request(list_services=""))
        assert (await stream.read()).HasField("list_services_response")
        stream.cancel()


async def test_a_dynamic_client_builds_messages_from_reflection_alone() -> None:
    async with serving(ReflectionServicer([HEALTH])) as (_, target):

        def call_without_stubs() -> tuple[list[str], str]:
            with grpc.insecure_channel(target) as channel:
                database = ProtoReflectionDescriptorDatabase(channel)
                file = database.FindFileContainingSymbol(HEALTH)
                services = list(database.get_services())
            return services, file.package

        services, package = await asyncio.to_thread(call_without_stubs)
    assert HEALTH in services
    assert package == health_pb2.DESCRIPTOR.package


@BOTH
async def test_close_ends_open_streams_so_that_the_server_stops_at_once(version: str) -> None:
    servicer = ReflectionServicer([HEALTH])
    async with serving(servicer) as (server, target), grpc.aio.insecure_channel(target) as channel:
        used, unused = open_stream(channel, version), open_stream(channel, version)
        await used.write(Request(list_services=""))
        await used.read()
        await unused.wait_for_connection()
        await until(lambda: servicer.stream_count == 2)
        servicer.close()
        async with asyncio.timeout(1):
            for stream in (used, unused):
                assert await stream.code() == grpc.StatusCode.UNAVAILABLE
                assert await stream.details() == "the server is stopping"
                assert reason_of(await stream.trailing_metadata()) == "SERVER_DRAINING"
            await server.stop(20)
    assert servicer.stream_count == 0


async def test_a_stream_above_the_bound_is_refused_until_a_client_leaves() -> None:
    servicer = ReflectionServicer([HEALTH], max_streams=1)
    async with serving(servicer) as (_, target), grpc.aio.insecure_channel(target) as channel:
        first = open_stream(channel, V1)
        await first.write(Request(list_services=""))
        await first.read()
        refused = open_stream(channel, V1)
        assert await refused.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason_of(await refused.trailing_metadata()) == "SERVER_OVERLOADED"
        first.cancel()
        await until(lambda: servicer.stream_count == 0)
        third = open_stream(channel, V1)
        await third.write(Request(list_services=""))
        assert (await third.read()).HasField("list_services_response")
        third.cancel()


async def test_a_stream_without_requests_ends_by_itself() -> None:
    servicer = ReflectionServicer([HEALTH], idle_seconds=0.05)
    async with serving(servicer) as (_, target), grpc.aio.insecure_channel(target) as channel:
        stream = open_stream(channel, V1)
        assert await stream.code() == grpc.StatusCode.OK
    assert servicer.stream_count == 0
