"""``grpc.health.v1.Health/Watch`` as far as a client needs it.

The package that has the messages is one more thing to install for one number: the request is a message whose field 1 is
a text, the response one whose field 1 is a number, so on the wire they are ``StringValue`` and ``Int32Value``, which
protobuf itself has. Protocol: https://github.com/grpc/grpc/blob/master/doc/health-checking.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc
from google.protobuf import wrappers_pb2

from palaver_client import errors

METHOD = "/grpc.health.v1.Health/Watch"
REQUEST = wrappers_pb2.StringValue(value="palaver.v1.ChatService")
serialize = wrappers_pb2.StringValue.SerializeToString
parse = wrappers_pb2.Int32Value.FromString

_SERVING = 1
_STATES = {2: "it is reached, and not ready: it loads its model or stops", 3: "it is reached, and serves no chats"}
_FIRST_DELAY_SECONDS = 0.1
_MAX_DELAY_SECONDS = 1.0


class Patience:
    """Waits for a server to become ready, all but the waiting itself."""

    def __init__(self, address: str, timeout: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = address
        self._timeout = timeout
        self._clock = clock
        self._deadline = None if timeout is None else clock() + timeout
        self._delay = _FIRST_DELAY_SECONDS
        self._seen = "it could not be reached"

    def remaining(self) -> float | None:
        """Seconds until the time is over; None without a limit."""
        return None if self._deadline is None else max(self._deadline - self._clock(), 0.0)

    def is_ready(self, state: int) -> bool:
        """Take a state of the server; tell whether it is ready."""
        self._seen = _STATES.get(state, f"it is reached, and in state {state}")
        return state == _SERVING

    def delay_after(self, error: errors.PalaverClientError | None) -> float:
        """Take the end of a Watch, with None for one that ended well; give the seconds to wait for another.

        Raises:
            errors.DeadlineExceeded: the time is over.
            errors.PalaverClientError: waiting does not help.
        """
        remaining = self.remaining()
        if remaining == 0 or isinstance(error, errors.DeadlineExceeded):
            within = "" if self._timeout is None else f" within {self._timeout:g} s"
            raise errors.DeadlineExceeded(
                f"The server at {self._address} was not ready{within}: {self._seen}.",
                code=grpc.StatusCode.DEADLINE_EXCEEDED,
            ) from error
        if isinstance(error, errors.Unavailable | errors.Overloaded):
            self._seen = error.message.rstrip(".")
        elif error is not None:
            raise error
        delay, self._delay = self._delay, min(self._delay * 2, _MAX_DELAY_SECONDS)
        return delay if remaining is None else min(delay, remaining)
