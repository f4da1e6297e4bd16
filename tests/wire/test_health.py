"""``grpc.health.v1`` as probes, balancers and clients use it."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from palaver_server.core.readiness import NotReady, Readiness
from palaver_server.rpc.health import LIVE, HealthServicer
from palaver_server.rpc.interceptor import CallInterceptor
from tests.wire.reasons import reason_of

CHAT = "palaver.v1.ChatService"
MODELS = "palaver.v1.ModelService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
LIST_REQUEST = health_pb2.HealthListRequest()  # type: ignore[attr-defined]  # the published types are older than List
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@asynccontextmanager
async def serving(servicer: HealthServicer) -> AsyncIterator[tuple[grpc.aio.Server, Any]]:
    server = grpc.aio.server(interceptors=[CallInterceptor()])
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with asyncio.timeout(30), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield server, health_pb2_grpc.HealthStub(channel)
    finally:
        await server.stop(None)


def request(service: str) -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop run until something that the wire does not report has happened."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)
            gc.collect()


@pytest.mark.parametrize("service", ["", CHAT, MODELS])
async def test_check_follows_readiness_through_a_servers_life(service: str) -> None:
    readiness = Readiness(NotReady.LOADING)
    async with serving(HealthServicer(readiness, [CHAT, MODELS])) as (_, stub):
        assert (await stub.Check(request(service))).status == NOT_SERVING
        readiness.remove(NotReady.LOADING)
        assert (await stub.Check(request(service))).status == SERVING
        readiness.add(NotReady.ENGINE_FAILED)
        readiness.add(NotReady.DRAINING)
        readiness.remove(NotReady.ENGINE_FAILED)
        assert (await stub.Check(request(service))).status == NOT_SERVING


@pytest.mark.parametrize("reason", NotReady)
async def test_a_process_that_is_not_ready_is_alive(reason: NotReady) -> None:
    async with serving(HealthServicer(Readiness(reason), [CHAT])) as (_, stub):
        assert (await stub.Check(request(LIVE))).status == SERVING
        assert (await stub.Check(request(""))).status == NOT_SERVING


async def test_check_of_an_unknown_service_is_not_found_and_says_where_the_names_are() -> None:
    async with serving(HealthServicer(Readiness(), [CHAT])) as (_, stub):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(request("palaver.v1.Nothing"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert "grpc.health.v1.Health/List" in (caught.value.details() or "")
    assert reason_of(caught.value.trailing_metadata()) == "SERVICE_NOT_FOUND"


async def test_list_tells_every_name_with_its_state() -> None:
    readiness = Readiness(NotReady.LOADING)
    async with serving(HealthServicer(readiness, [CHAT, MODELS])) as (_, stub):
        loading = await stub.List(LIST_REQUEST)
        readiness.remove(NotReady.LOADING)
        ready = await stub.List(LIST_REQUEST)
    assert {name: entry.status for name, entry in loading.statuses.items()} == {
        "": NOT_SERVING,
        CHAT: NOT_SERVING,
        MODELS: NOT_SERVING,
        LIVE: SERVING,
    }
    assert {entry.status for entry in ready.statuses.values()} == {SERVING}


@pytest.mark.parametrize("service", ["", CHAT])
async def test_watch_sends_the_present_state_and_then_each_change_once(service: str) -> None:
    readiness = Readiness(NotReady.LOADING)
    async with serving(HealthServicer(readiness, [CHAT])) as (_, stub):
        watch = stub.Watch(request(service))
        assert (await watch.read()).status == NOT_SERVING
        readiness.add(NotReady.LOADING)  # said before
        readiness.add(NotReady.ENGINE_FAILED)  # another reason for the same state
        readiness.remove(NotReady.ENGINE_FAILED)
        readiness.remove(NotReady.LOADING)
        assert (await watch.read()).status == SERVING
        readiness.add(NotReady.DRAINING)
        assert (await watch.read()).status == NOT_SERVING
        watch.cancel()


async def test_every_watch_hears_of_a_change_that_comes_while_others_are_told() -> None:
    readiness = Readiness(NotReady.LOADING)
    async with serving(HealthServicer(readiness, [CHAT])) as (_, stub):
        watches = [stub.Watch(request(CHAT)) for _ in range(50)]
        await asyncio.gather(*(watch.read() for watch in watches))
        for _ in range(20):
            readiness.remove(NotReady.LOADING)
            await asyncio.sleep(0)
            readiness.add(NotReady.LOADING)
            await asyncio.sleep(0)
        readiness.remove(NotReady.LOADING)

        async def last_state(watch: Any) -> int:
            # States in between may be left out, the newest may not; then there is silence.
            states = [NOT_SERVING]
            try:
                while True:
                    states.append((await asyncio.wait_for(watch.read(), 0.5)).status)
            except TimeoutError:
                assert all(one != next_one for one, next_one in itertools.pairwise(states))
                return states[-1]

        assert await asyncio.gather(*map(last_state, watches)) == [SERVING] * 50
        for watch in watches:
            watch.cancel()


async def test_watch_of_an_unknown_service_says_so_and_stays_open() -> None:
    readiness = Readiness(NotReady.LOADING)
    async with serving(HealthServicer(readiness, [CHAT])) as (_, stub):
        watch = stub.Watch(request("palaver.v1.Nothing"))
        assert (await watch.read()).status == SERVICE_UNKNOWN
        readiness.remove(NotReady.LOADING)
        known = stub.Watch(request(CHAT))
        assert (await known.read()).status == SERVING
        assert not watch.done()
        watch.cancel()
        known.cancel()


async def test_a_watch_gives_its_place_back_when_the_client_leaves() -> None:
    servicer = HealthServicer(Readiness(), [CHAT])
    async with serving(servicer) as (_, stub):
        watch = stub.Watch(request(CHAT))
        await watch.read()
        assert servicer.watch_count == 1
        watch.cancel()
        await until(lambda: servicer.watch_count == 0)


async def test_a_watch_above_the_bound_is_refused_until_a_place_is_free() -> None:
    servicer = HealthServicer(Readiness(), [CHAT], max_watches=2)
    async with serving(servicer) as (_, stub):
        watches = [stub.Watch(request(CHAT)) for _ in range(2)]
        for watch in watches:
            await watch.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Watch(request(CHAT)).read()
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason_of(caught.value.trailing_metadata()) == "SERVER_OVERLOADED"
        assert ("retry-after", "10") in tuple(caught.value.trailing_metadata())
        assert (await stub.Check(request(CHAT))).status == SERVING
        watches[0].cancel()
        await until(lambda: servicer.watch_count == 1)
        watches.append(stub.Watch(request(CHAT)))
        assert (await watches[-1].read()).status == SERVING
        for watch in watches:
            watch.cancel()


async def test_close_tells_not_serving_and_ends_every_watch_so_that_the_server_stops_at_once() -> None:
    servicer = HealthServicer(Readiness(), [CHAT])
    async with serving(servicer) as (server, stub):
        ready, live, unknown = (stub.Watch(request(service)) for service in (CHAT, LIVE, "palaver.v1.Nothing"))
        assert [(await watch.read()).status for watch in (ready, live, unknown)] == [SERVING, SERVING, SERVICE_UNKNOWN]
        servicer.close()
        async with asyncio.timeout(1):
            assert (await ready.read()).status == NOT_SERVING
            for watch in (ready, live, unknown):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await watch.read()
                assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
                assert caught.value.details() == "the server is stopping"
                assert reason_of(caught.value.trailing_metadata()) == "SERVER_DRAINING"
        assert (await stub.Check(request(CHAT))).status == NOT_SERVING
        assert (await stub.Check(request(LIVE))).status == SERVING
        async with asyncio.timeout(1):
            await server.stop(20)


async def test_a_watch_opened_after_close_gets_its_state_and_ends() -> None:
    servicer = HealthServicer(Readiness(), [CHAT])
    servicer.close()
    async with serving(servicer) as (_, stub):
        watch = stub.Watch(request(CHAT))
        assert (await watch.read()).status == NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch.read()
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert servicer.watch_count == 0
