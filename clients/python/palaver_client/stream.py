"""An answer that comes piece by piece."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

import grpc

from palaver.v1 import chat_service_pb2
from palaver_client._interrupt import interrupt_deferred
from palaver_client._progress import OnEnd, Progress, StreamCall, text_of
from palaver_client.errors import PalaverClientError
from palaver_client.pieces import Piece, pieces_of

_Event = chat_service_pb2.StreamChatResponse

if TYPE_CHECKING:  # grpcio's own classes cannot be subscripted, and one of these is known to the type checker alone
    from grpc import _CallIterator

    _Rpc = _CallIterator[_Event]
    _Method = Callable[[], grpc.UnaryStreamMultiCallable[chat_service_pb2.StreamChatRequest, _Event]]


class Stream(Progress):
    """Gives the pieces of the first choice's text when iterated, or every event with ``events()``.

    The call begins with the first piece that is asked for. It ends, on the server too, when the answer is whole, when
    the ``with`` is left, at ``close``, by Ctrl-C, and when nobody holds the stream any more. One thread may read; any
    thread may close.

    Raises:
        errors.PalaverClientError: from the reading, when the call fails.
    """

    def __init__(self, method: _Method, call: StreamCall, on_end: OnEnd | None = None) -> None:
        super().__init__(call, on_end)
        self._method = method
        self._rpc: _Rpc | None = None
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        while (event := self._next_event()) is not None:
            if text := text_of(event):
                return text
        raise StopIteration

    def events(self) -> Iterator[_Event]:
        """Give every event as it comes: one ``started``, the ``delta`` of all choices, one ``finished``."""
        while (event := self._next_event()) is not None:
            yield event

    def pieces(self) -> Iterator[Piece]:
        """Give what comes, sorted: words, thoughts and calls of tools, of all choices."""
        for event in self.events():
            yield from pieces_of(event)

    def close(self) -> None:
        """End the call if it runs. Whoever reads gets ``errors.Cancelled``. Harmless when called twice."""
        self._fail()
        self._closed.set()
        self._cancel()

    def __del__(self) -> None:
        if getattr(self, "_closed", None) is not None:  # else the constructor failed
            self.close()

    def _next_event(self) -> _Event | None:
        if self._is_over():
            return None
        try:
            event = self._take(self._begin() if self._rpc is None else self._read(self._rpc))
            if self._assembly.is_finished and self._rpc is not None:
                # The status follows the last event: an answer is whole when both are there.
                while self._read(self._rpc) is not None:
                    pass
                self._succeed(dict(self._rpc.trailing_metadata() or ()))
        except BaseException as error:  # Ctrl-C among them
            self._fail(error if isinstance(error, PalaverClientError) else None)
            self._cancel()
            raise
        return event

    def _begin(self) -> _Event | None:
        """Send the call, as often as it needs and may, and give the first event."""
        attempts = self._call.attempts()
        while True:
            with interrupt_deferred():
                self._rpc = self._method()(self._call.request, **self._call.arguments(attempts))
            try:
                return self._read(self._rpc)
            except PalaverClientError as error:
                if (delay := attempts.delay_after(error)) is None:
                    raise
            self._closed.wait(delay)
            self._is_over()

    def _read(self, rpc: _Rpc) -> _Event | None:
        try:
            return next(rpc, None)
        except grpc.RpcError as error:
            raise self._call.error(error) from error

    def _cancel(self) -> None:
        if self._rpc is not None:
            self._rpc.cancel()
