"""A burst of messages wakes the event loop a few times, not once for each."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from palaver_server.rpc.transport import ServerLimits, new_server
from palaver_server.rpc.wakeups import taken_together

STREAMS = 64
METHOD = "/test.Service/Stream"


async def test_a_callback_that_reads_one_byte_is_called_once_for_many() -> None:
    loop: Any = asyncio.get_running_loop()
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    called: list[bytes] = []
    done = asyncio.Event()

    def read_one() -> None:
        called.append(reading.recv(1))
        done.set()

    with reading, writing:
        with taken_together():
            loop.add_reader(reading, read_one)
        writing.send(b"x" * 50)
        await asyncio.wait_for(done.wait(), 10)
        with pytest.raises(BlockingIOError):
            reading.recv(1)
        loop.remove_reader(reading)
    assert called == [b"x"]
    assert "add_reader" not in vars(loop)


class _Crowd:
    """Streams that all write at the same moment."""

    def __init__(self) -> None:
        self.open_count = 0
        self.all_are_open = asyncio.Event()
        self.moment = asyncio.Event()

    async def stream(self, _request: bytes, context: Any) -> AsyncIterator[bytes]:
        self.open_count += 1
        if self.open_count == STREAMS:
            self.all_are_open.set()
        await self.moment.wait()
        yield b"word"

    def add_to(self, server: grpc.aio.Server) -> None:
        handler = grpc.unary_stream_rpc_method_handler(self.stream)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", {"Stream": handler}),))


def _read_all(address: str) -> int:
    with grpc.insecure_channel(address) as channel:
        calls = [channel.unary_stream(METHOD)(b"") for _ in range(STREAMS)]
        return sum(1 for call in calls for _ in call)


async def test_a_server_s_own_loop_is_woken_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from palaver_server.rpc import wakeups  # noqa: PLC0415

    byte_counts: list[int] = []
    take = wakeups._take

    def counting(pipe: socket.socket, callback: Any) -> None:
        byte_counts.append(len(pipe.recv(wakeups.MAX_BYTES, socket.MSG_PEEK)))
        take(pipe, callback)

    monkeypatch.setattr(wakeups, "_take", counting)
    crowd = _Crowd()
    server = new_server(ServerLimits())
    crowd.add_to(server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    reading = asyncio.create_task(asyncio.to_thread(_read_all, address))
    await asyncio.wait_for(crowd.all_are_open.wait(), 30)
    byte_counts.clear()
    crowd.moment.set()

    assert await reading == STREAMS

    await server.stop(0)
    assert sum(byte_counts) >= STREAMS  # a message each, and an end
    assert max(byte_counts) > 1
