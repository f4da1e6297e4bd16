"""Server reflection, so that grpcurl, buf curl and their like need no proto files.

grpcio-reflection ships ``grpc.reflection.v1alpha`` alone. Version v1 has the same messages under another package
name (https://github.com/grpc/grpc-proto, ``grpc/reflection/v1/reflection.proto``), so the same servicer answers both.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, TypeAlias, cast

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from grpc_reflection.v1alpha import reflection, reflection_pb2

from palaver_server.rpc.errors import no_place, stopping_error

_Request: TypeAlias = reflection_pb2.ServerReflectionRequest
_Response: TypeAlias = reflection_pb2.ServerReflectionResponse
_Context: TypeAlias = grpc.aio.ServicerContext[_Request, _Response]

V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
V1 = "grpc.reflection.v1.ServerReflection"


class ReflectionServicer:
    """Describes the services of this server, under both names of the protocol.

    Args:
        services: full names of the services to list; reflection adds its own two. What they consist of is read from
            protobuf's default pool, where generated modules register themselves when they are imported.
        max_streams: open reflection calls at most; the next is refused with RESOURCE_EXHAUSTED.
        idle_seconds: a call without a request for so long ends with OK, so that forgotten ones do not fill the places.
            Clients open another when they need one.
    """

    def __init__(self, services: Iterable[str], *, max_streams: int = 64, idle_seconds: float = 300.0) -> None:
        _register_v1()
        self._answers = reflection.aio.ReflectionServicer((*services, V1ALPHA, V1))
        self._max_streams = max_streams
        self._idle_seconds = idle_seconds
        self._stream_count = 0
        self._waiting: set[asyncio.Timeout] = set()
        self._is_closed = False

    def __repr__(self) -> str:
        closed = ", closed" if self._is_closed else ""
        return f"ReflectionServicer(streams={self._stream_count}/{self._max_streams}{closed})"

    @property
    def stream_count(self) -> int:
        """Open reflection calls."""
        return self._stream_count

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve both versions on a server that has not started."""
        handler = grpc.stream_stream_rpc_method_handler(
            self.ServerReflectionInfo, _Request.FromString, _Response.SerializeToString
        )
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler}) for name in (V1, V1ALPHA)]
        )

    async def ServerReflectionInfo(  # noqa: N802 - the protocol's name
        self, requests: AsyncIterator[_Request], context: _Context
    ) -> AsyncIterator[_Response]:
        """Answer each request of a call, until the client is done, falls idle or leaves, or ``close`` is called."""
        if self._stream_count >= self._max_streams:
            raise no_place(self._max_streams, "reflection calls")
        self._stream_count += 1
        try:
            # The published types call it a coroutine that returns the answers; it is a generator of them.
            answer = cast("Any", self._answers.ServerReflectionInfo)
            async for response in answer(self._until_idle_or_closed(requests), context):
                yield response
        finally:
            self._stream_count -= 1
        if self._is_closed:
            raise stopping_error()

    def close(self) -> None:
        """End every open call that waits for a request; calls that come later end after their first answer."""
        self._is_closed = True
        now = asyncio.get_running_loop().time()
        for wait in self._waiting:
            wait.reschedule(now)

    async def _until_idle_or_closed(self, requests: AsyncIterator[_Request]) -> AsyncIterator[_Request]:
        while not self._is_closed:
            try:
                async with asyncio.timeout(self._idle_seconds) as wait:
                    self._waiting.add(wait)
                    try:
                        request = await anext(requests)
                    finally:
                        self._waiting.discard(wait)
            except (TimeoutError, StopAsyncIteration):
                return
            yield request


def _register_v1() -> None:
    """Derive the description of v1 from v1alpha's: ``grpcurl describe`` asks for that of every service listed."""
    pool = descriptor_pool.Default()
    name = "grpc/reflection/v1/reflection.proto"
    try:
        pool.FindFileByName(name)
    except KeyError:
        alpha = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(alpha)
        alpha.options.ClearField("deprecated")
        v1 = text_format.Parse(str(alpha).replace("v1alpha", "v1"), descriptor_pb2.FileDescriptorProto())
        v1.name = name
        pool.Add(v1)
