"""``grpc.health.v1.Health/Watch`` as far as a client needs it.

The package that has the messages is one more thing to install for one number: the request is a message whose field 1 is
a text, the response one whose field 1 is a number, so on the wire they are ``StringValue`` and ``Int32Value``, which
protobuf itself has. Protocol: https://github.com/grpc/grpc/blob/master/doc/health-checking.md.
"""

from __future__ import annotations

import grpc
from google.protobuf import wrappers_pb2

from palaver_client import errors
from palaver_client.retry import RetryPolicy

METHOD = "/grpc.health.v1.Health/Watch"
REQUEST = wrappers_pb2.StringValue(value="palaver.v1.ChatService")
SERVING = 1
_STATES = {0: "unknown", 2: "not ready, because it loads its model or stops", 3: "not a chat server"}

POLICY = RetryPolicy(max_attempts=2**31, initial_backoff=0.1, max_backoff=2.0, max_retry_after=5.0)
"""How a Watch that breaks off is opened again: until the time is over."""


class Progress:
    """What has been seen of a server that is not yet ready, for the error that may come of it."""

    def __init__(self, address: str, timeout: float | None) -> None:
        self._address = address
        self._timeout = timeout
        self._seen = "it could not be reached"

    def state(self, number: int) -> bool:
        """Take a state; tell whether the server is ready."""
        self._seen = f"it is {_STATES.get(number, f'in state {number}')}"
        return number == SERVING

    def error(self, error: errors.PalaverClientError) -> bool:
        """Take the end of a Watch; tell whether it is worth another one."""
        if isinstance(error, errors.Unavailable | errors.Overloaded):
            self._seen = error.message
            return True
        return False

    def too_late(self) -> errors.DeadlineExceeded:
        """The error of one who waited for nothing."""
        within = "" if self._timeout is None else f" within {self._timeout:g} s"
        return errors.DeadlineExceeded(
            f"The server at {self._address} was not ready{within}: {self._seen}",
            code=grpc.StatusCode.DEADLINE_EXCEEDED,
        )
