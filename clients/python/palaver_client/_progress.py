"""How far a stream is, whichever way its client waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from palaver.v1 import chat_service_pb2, usage_pb2
from palaver_client._assembly import Assembly
from palaver_client._core import PreparedCall
from palaver_client._status import locally_cancelled
from palaver_client.answer import Answer
from palaver_client.errors import PalaverClientError

StreamCall = PreparedCall[chat_service_pb2.StreamChatRequest]
OnEnd = Callable[[Answer | None], None]


class Progress:
    """What has come of a stream, and how it ended. The streams of both clients are made of one."""

    def __init__(self, call: StreamCall, on_end: OnEnd | None = None) -> None:
        self._call = call
        self._assembly = Assembly()
        self._on_end = on_end
        self._end: Answer | PalaverClientError | None = None
        self._end_lock = threading.Lock()

    def __repr__(self) -> str:
        if isinstance(self._end, PalaverClientError):
            state = type(self._end).__name__
        else:
            state = "whole" if self._end else "open"
        return f"{type(self).__name__}(request_id={self.request_id!r}, {state})"

    @property
    def request_id(self) -> str:
        """The name under which the server's log knows the call."""
        return self._end.request_id if isinstance(self._end, Answer) else self._call.request_id

    @property
    def text(self) -> str:
        """What has come of the text so far, also after a failure."""
        return self._assembly.text

    @property
    def usage(self) -> usage_pb2.Usage:
        """The newest count of tokens: at the end, and before it with ``include_running_usage``.

        Raises:
            RuntimeError: none has come.
        """
        if (usage := self._assembly.usage) is None:
            raise RuntimeError("usage: it comes at the end of the stream; include_running_usage=True tells it before")
        return usage

    @property
    def answer(self) -> Answer:
        """The whole answer, after the end, as ``chat`` would have given it.

        Raises:
            RuntimeError: the stream has not been read to its end.
            errors.PalaverClientError: the stream failed or was closed before its end, with this error.
        """
        if self._end is None:
            raise RuntimeError("answer: it is there once the stream has been read to its end")
        if isinstance(self._end, PalaverClientError):
            raise self._end
        return self._end

    def _is_over(self) -> bool:
        """Whether the answer is whole.

        Raises:
            errors.PalaverClientError: the stream failed or was closed, with this error.
        """
        if isinstance(self._end, PalaverClientError):
            raise self._end
        return self._end is not None

    def _take(self, event: chat_service_pb2.StreamChatResponse | None) -> chat_service_pb2.StreamChatResponse:
        if event is None:
            raise self._call.broken_off()
        self._assembly.add(event)
        return event

    def _succeed(self, trailers: Mapping[str, Any]) -> None:
        self._finish(self._call.answer(self._assembly.answer(), trailers))

    def _fail(self, error: PalaverClientError | None = None) -> None:
        """End without an answer; without an error, because somebody here wants no more."""
        self._finish(error or locally_cancelled(self._call.request_id))

    def _finish(self, end: Answer | PalaverClientError) -> None:
        with self._end_lock:  # a close from another thread may meet the reader
            if self._end is not None:
                return
            self._end = end
        if self._on_end is not None:
            self._on_end(end if isinstance(end, Answer) else None)


def text_of(event: chat_service_pb2.StreamChatResponse) -> str:
    """The first choice's next piece of text; empty where an event has none."""
    delta = event.delta
    return delta.text if delta.choice_index == 0 else ""
