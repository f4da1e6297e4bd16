"""Each bound of a server, shown by a client that meets it: grpcio ignores options whose names it does not know."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import psutil
import pytest

from palaver_server.rpc.transport import ServerLimits, new_server

MIB = 1024 * 1024
RESOURCE_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


class Probe:
    """A service of three methods on plain bytes."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()

    async def measure(self, request: bytes, _context: object) -> bytes:
        return str(len(request)).encode()

    async def fill(self, request: bytes, _context: object) -> bytes:
        return bytes(int(request))

    async def stay_silent(self, _request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        await context.write(b"first")
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    def handler(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            "test.Probe",
            {
                "Measure": grpc.unary_unary_rpc_method_handler(self.measure),
                "Fill": grpc.unary_unary_rpc_method_handler(self.fill),
                "StaySilent": grpc.unary_stream_rpc_method_handler(self.stay_silent),
            },
        )


@asynccontextmanager
async def serving(limits: ServerLimits, probe: Probe | None = None) -> AsyncIterator[int]:
    server = new_server(limits)
    server.add_generic_rpc_handlers([(probe or Probe()).handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with asyncio.timeout(30):
            yield port
    finally:
        await server.stop(None)


def connect(port: int, **options: int) -> grpc.aio.Channel:
    """Open a connection of its own, not one shared with other channels to the same server."""
    own = {"grpc.use_local_subchannel_pool": 1, "grpc.max_receive_message_length": -1}
    named = {name.replace("__", "."): value for name, value in options.items()}
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=list((own | named).items()))


async def measure(channel: grpc.aio.Channel, request: bytes = b"", **options: object) -> int:
    method: Any = channel.unary_unary("/test.Probe/Measure")
    return int(await method(request, **options))


async def code_of(channel: grpc.aio.Channel, request: bytes = b"", **options: object) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await measure(channel, request, **options)
    return caught.value.code()


async def measure_once_there_is_room(port: int) -> int:
    """Ask by one connection after another: the server may not have seen yet that an earlier one has ended.

    A channel of grpcio 1.85 that is refused while other channels of its process are closing may not see that its next
    try has connected: its calls wait for ever. So none tries twice.
    """
    while True:
        async with connect(port) as channel:
            try:
                return await measure(channel)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise


async def open_silent(channel: grpc.aio.Channel) -> grpc.aio.UnaryStreamCall[bytes, bytes]:
    method: Any = channel.unary_stream("/test.Probe/StaySilent")
    call: grpc.aio.UnaryStreamCall[bytes, bytes] = method(b"")
    assert await call.read() == b"first"
    return call


async def test_a_request_up_to_the_limit_is_taken_and_a_larger_one_is_refused() -> None:
    async with serving(ServerLimits(max_receive_message_bytes=6 * MIB)) as port, connect(port) as channel:
        assert await measure(channel, bytes(6 * MIB)) == 6 * MIB
        assert await code_of(channel, bytes(6 * MIB + 1)) == RESOURCE_EXHAUSTED


async def test_a_small_request_that_decompresses_to_a_large_one_is_refused() -> None:
    gzip = grpc.Compression.Gzip
    async with serving(ServerLimits(max_receive_message_bytes=MIB)) as port, connect(port) as channel:
        assert await measure(channel, bytes(MIB), compression=gzip) == MIB
        assert await code_of(channel, bytes(100 * MIB), compression=gzip) == RESOURCE_EXHAUSTED


async def test_an_answer_over_the_limit_is_refused() -> None:
    async with serving(ServerLimits(max_send_message_bytes=MIB)) as port, connect(port) as channel:
        fill: Any = channel.unary_unary("/test.Probe/Fill")
        assert len(await fill(str(MIB).encode())) == MIB
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await fill(str(MIB + 1).encode())
        assert caught.value.code() == RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "metadata",
    [[("x-long", "v" * 17_000)], [(f"x-{number}", "v") for number in range(2000)]],
    ids=["one long entry", "many entries"],
)
async def test_a_flood_of_metadata_is_refused(metadata: list[tuple[str, str]]) -> None:
    async with serving(ServerLimits(max_metadata_bytes=16 * 1024)) as port, connect(port) as channel:
        assert await measure(channel, metadata=[("x-long", "v" * 15_000)]) == 0
        assert await code_of(channel, metadata=metadata) == RESOURCE_EXHAUSTED
        assert await measure(channel) == 0  # the connection goes on


async def test_metadata_above_grpcs_own_limit_is_taken_when_ours_is_higher() -> None:
    async with serving(ServerLimits(max_metadata_bytes=64 * 1024)) as port, connect(port) as channel:
        for _ in range(50):  # below a soft limit there would be refusals by chance
            assert await measure(channel, metadata=[("x-long", "v" * 60_000)]) == 0


async def test_calls_above_the_servers_bound_are_refused_until_one_ends() -> None:
    probe = Probe()
    async with serving(ServerLimits(max_concurrent_rpcs=1), probe) as port, connect(port) as channel:
        call = await open_silent(channel)
        for _ in range(3):
            assert await code_of(channel) == RESOURCE_EXHAUSTED
        call.cancel()
        await probe.cancelled.wait()
        assert await measure(channel) == 0


async def test_calls_above_a_connections_bound_wait_for_those_before() -> None:
    async with serving(ServerLimits(max_streams_per_connection=1)) as port, connect(port) as channel:
        call = await open_silent(channel)
        waiting = asyncio.ensure_future(measure(channel))
        async with connect(port) as another:
            assert await measure(another) == 0
        assert not waiting.done()
        call.cancel()
        assert await waiting == 0


async def test_a_connection_above_the_bound_is_closed_until_another_ends() -> None:
    async with serving(ServerLimits(max_connections=1)) as port:
        async with connect(port) as first, connect(port) as second:
            assert await measure(first) == 0
            assert await code_of(second) == grpc.StatusCode.UNAVAILABLE
            assert await measure(first) == 0
        assert await measure_once_there_is_room(port) == 0


async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with serving(ServerLimits(handshake_timeout_seconds=0.2)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(5):
            await reader.read()  # returns at the end of the connection
        writer.close()
        await writer.wait_closed()


PINGING = {  # once a second, which is as often as grpcio's client does
    "grpc__keepalive_time_ms": 1000,
    "grpc__keepalive_timeout_ms": 2000,
    "grpc__keepalive_permit_without_calls": 1,
    "grpc__http2__max_pings_without_data": 0,
}


async def test_a_client_may_ping_during_a_long_silence_and_between_calls() -> None:
    limits = ServerLimits(min_client_ping_interval_seconds=0.5)
    async with serving(limits) as port, connect(port, **PINGING) as busy, connect(port, **PINGING) as idle:
        call = await open_silent(busy)
        assert await measure(idle) == 0
        changes = [
            asyncio.ensure_future(channel.wait_for_state_change(grpc.ChannelConnectivity.READY))
            for channel in (busy, idle)
        ]
        # Nothing happens for longer than the test below takes to see it happen.
        assert not (await asyncio.wait(changes, timeout=6, return_when=asyncio.FIRST_COMPLETED))[0]
        for change in changes:
            change.cancel()
        assert not call.done()
        call.cancel()


async def test_a_client_that_pings_too_often_is_told_so() -> None:
    async with serving(ServerLimits(min_client_ping_interval_seconds=60)) as port, connect(port, **PINGING) as channel:
        call = await open_silent(channel)
        async with asyncio.timeout(5):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert "Too many pings" in (caught.value.details() or "")


class Relay:
    """A network between client and server that can go dead without closing anything."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._is_alive = True
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()

    def go_dead(self) -> None:
        self._is_alive = False

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, far_writer]
        await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self._is_alive:
                writer.write(data)


async def test_the_call_of_a_client_that_vanished_is_cancelled() -> None:
    probe = Probe()
    limits = ServerLimits(keepalive_seconds=0.3, keepalive_timeout_seconds=0.3)
    async with serving(limits, probe) as port:
        relay = Relay(port)
        async with relay as relay_port, connect(relay_port) as channel:
            call = await open_silent(channel)
            with pytest.raises(TimeoutError):  # silence alone ends nothing
                await asyncio.wait_for(probe.cancelled.wait(), 2)
            relay.go_dead()
            async with asyncio.timeout(5):
                await probe.cancelled.wait()
            call.cancel()


async def test_what_a_vanished_client_does_not_acknowledge_ends_its_connection() -> None:
    async with serving(ServerLimits(keepalive_timeout_seconds=7)) as port, connect(port) as channel:
        assert await measure(channel) == 0
        assert tcp_user_timeouts(port) == {7000}


def tcp_user_timeouts(port: int) -> set[int]:
    """The milliseconds after which the kernel gives up, of each connection that this process took on a port."""
    found = set()
    for connection in psutil.Process().net_connections("tcp"):
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_ESTABLISHED:
            with socket.socket(fileno=os.dup(connection.fd)) as each:
                found.add(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
    return found


async def test_a_connection_without_calls_is_closed_after_a_while() -> None:
    async with serving(ServerLimits(max_connection_idle_seconds=0.3)) as port, connect(port) as channel:
        assert await measure(channel) == 0
        async with asyncio.timeout(5):
            await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        assert await measure(channel) == 0


async def test_an_old_connection_takes_no_new_calls_and_ends_its_last_after_the_grace() -> None:
    probe = Probe()
    limits = ServerLimits(max_connection_age_seconds=0.3, max_connection_age_grace_seconds=1)
    async with serving(limits, probe) as port, connect(port) as channel:
        call = await open_silent(channel)
        async with asyncio.timeout(5):
            await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
            assert not call.done()
            assert not probe.cancelled.is_set()
            await probe.cancelled.wait()
        assert await call.code() == grpc.StatusCode.UNAVAILABLE


async def test_stop_waits_for_open_calls_up_to_the_grace_and_then_ends_them() -> None:
    probe = Probe()
    server = new_server(ServerLimits())
    server.add_generic_rpc_handlers([probe.handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with connect(port) as channel:
        call = await open_silent(channel)
        stopping = asyncio.ensure_future(server.stop(0.5))
        async with connect(port) as late:
            assert await code_of(late) == grpc.StatusCode.UNAVAILABLE
        assert not probe.cancelled.is_set()
        await stopping
        await asyncio.wait_for(probe.cancelled.wait(), 5)
        assert await call.code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_receive_message_bytes", 0),
        ("max_receive_message_bytes", 2**31),
        ("max_connections", -1),
        ("keepalive_seconds", 0),
        ("keepalive_seconds", 0.0001),
        ("max_connection_age_seconds", float("inf")),
        ("max_connection_idle_seconds", float("nan")),
    ],
)
def test_a_limit_out_of_range_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        ServerLimits(**{field: value})  # type: ignore[arg-type]
