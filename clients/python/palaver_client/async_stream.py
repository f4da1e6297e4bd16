"""An answer that comes piece by piece, for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

import grpc

from palaver.v1 import chat_service_pb2
from palaver_client._progress import OnEnd, Progress, StreamCall, text_of
from palaver_client._status import locally_cancelled
from palaver_client.errors import PalaverClientError
from palaver_client.pieces import Piece, pieces_of

_Event = chat_service_pb2.StreamChatResponse
_Rpc = grpc.aio.UnaryStreamCall[chat_service_pb2.StreamChatRequest, _Event]
_Method = Callable[[], grpc.aio.UnaryStreamMultiCallable[chat_service_pb2.StreamChatRequest, _Event]]


class AsyncStream(Progress):
    """Gives the pieces of the first choice's text with ``async for``, or every event with ``events()``.

    The call begins with the first piece that is asked for. It ends, on the server too, when the answer is whole, when
    the ``async with`` is left, at ``close``, when the task that reads is cancelled, and when nobody holds the stream
    any more. One task may read; any task of its loop may close.

    Raises:
        errors.PalaverClientError: from the reading, when the call fails.
    """

    def __init__(self, method: _Method, call: StreamCall, on_end: OnEnd | None = None) -> None:
        super().__init__(call, on_end)
        self._method = method
        self._rpc: _Rpc | None = None
        self._messages: AsyncIterator[_Event] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while (event := await self._next_event()) is not None:
            if text := text_of(event):
                return text
        raise StopAsyncIteration

    async def events(self) -> AsyncIterator[_Event]:
        """Give every event as it comes: one ``started``, the ``delta`` of all choices, one ``finished``."""
        while (event := await self._next_event()) is not None:
            yield event

    async def pieces(self) -> AsyncIterator[Piece]:
        """Give what comes, sorted: words, thoughts and calls of tools, of all choices."""
        async for event in self.events():
            for piece in pieces_of(event):
                yield piece

    async def close(self) -> None:
        """End the call if it runs. Whoever reads gets ``errors.Cancelled``. Harmless when called twice."""
        self._fail()
        self._closed.set()
        self._cancel()

    def __del__(self) -> None:
        # grpcio cancels no call that is only dropped (https://github.com/grpc/grpc/issues/43462), and the collector may
        # run in any thread.
        if getattr(self, "_closed", None) is None:
            return  # the constructor failed
        self._fail()
        if self._rpc is not None and self._loop is not None and not self._rpc.done():
            with contextlib.suppress(RuntimeError):  # the loop is closed, and the call with it
                self._loop.call_soon_threadsafe(self._rpc.cancel)

    async def _next_event(self) -> _Event | None:
        if self._is_over():
            return None
        try:
            event = self._take(await (self._begin() if self._rpc is None else self._read()))
            if self._assembly.is_finished:
                # The status follows the last event: an answer is whole when both are there.
                while await self._read() is not None:
                    pass
                self._succeed(dict(await self._rpc.trailing_metadata()) if self._rpc else {})
        except BaseException as error:
            self._fail(error if isinstance(error, PalaverClientError) else None)
            self._cancel()
            raise
        return event

    async def _begin(self) -> _Event | None:
        """Send the call, as often as it needs and may, and give the first event."""
        self._loop = asyncio.get_running_loop()
        attempts = self._call.attempts()
        while True:
            self._rpc = self._method()(self._call.request, **self._call.arguments(attempts))
            self._messages = aiter(self._rpc)
            try:
                return await self._read()
            except PalaverClientError as error:
                if (delay := attempts.delay_after(error)) is None:
                    raise
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), delay)
            self._is_over()

    async def _read(self) -> _Event | None:
        assert self._messages is not None  # noqa: S101  # for the type checker: begun
        try:
            return await anext(self._messages, None)
        except grpc.RpcError as error:
            raise self._call.error(error) from error
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            raise locally_cancelled(self._call.request_id) from None  # grpc.aio has one word for both

    def _cancel(self) -> None:
        if self._rpc is not None:
            self._rpc.cancel()


def is_being_cancelled() -> bool:
    """Tell whether somebody cancels the current task, rather than the call that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
