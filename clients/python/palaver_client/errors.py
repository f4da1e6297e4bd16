"""What a call can end with instead of an answer.

Every class is a ``PalaverClientError``; its ``reason`` is what programs switch on, its text is what people read::

    try:
        answer = client.chat("Hello", temperature=3)
    except errors.InvalidRequest as error:
        print(error.reason, [field.field for field in error.fields])

Wrong arguments that never reach a server (a value of the wrong type, an address with a scheme) are ``TypeError`` and
``ValueError``, as in any library. A task that is cancelled ends with ``asyncio.CancelledError``, as always.
"""
# ruff: noqa: N818  # the module's name says it: `errors.Overloaded` reads better than `errors.OverloadedError`

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that breaks one rule."""

    field: str
    """The path from the request message: ``options.temperature``, or ``chat.options.temperature`` in a stream."""
    description: str
    """A sentence that says what is wrong and what would be right."""


class PalaverClientError(Exception):
    """A call that did not succeed. Can be pickled, so it survives process pools and task queues."""

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        request_id: str | None = None,
        retry_after: float | None = None,
        fields: Sequence[FieldViolation] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        """A sentence for people."""
        self.reason = reason
        """The server's name for the cause, such as ``PROMPT_TOO_LONG``; None where no palaver server has spoken."""
        self.code = code
        """The gRPC status code."""
        self.request_id = request_id
        """The name under which the server's log knows the call."""
        self.retry_after = retry_after
        """Seconds after which the server expects to take the call; None where it does not say."""
        self.fields = tuple(fields)
        """The fields of the request that are to blame."""
        self.metadata = dict(metadata or {})
        """Figures that belong to the reason, such as ``context_length`` for ``PROMPT_TOO_LONG``."""

    def __str__(self) -> str:
        marks = [self.reason, f"request {self.request_id}" if self.request_id else None]
        known = ", ".join(mark for mark in marks if mark)
        return f"{self.message} [{known}]" if known else self.message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r}, reason={self.reason!r}, request_id={self.request_id!r})"


class InvalidRequest(PalaverClientError):
    """The request cannot be served as it is; ``fields`` says why. Trying again does not help."""


class NotFound(PalaverClientError):
    """There is no such model."""


class Unimplemented(PalaverClientError):
    """The server does not have this call: it is older than this client, or no palaver server."""


class Unauthenticated(PalaverClientError):
    """The API key is missing, unknown, expired or revoked, or the client certificate is."""


class PermissionDenied(PalaverClientError):
    """The API key is good and has no right to this."""


class Overloaded(PalaverClientError):
    """The server is full, or a limit of the API key is reached. ``retry_after`` says when to come back."""


class Unavailable(PalaverClientError):
    """The server cannot answer now: it loads its model, stops, or has lost its engine."""


class ConnectionFailed(Unavailable):
    """The server could not be reached, or the connection broke off before the answer was whole."""


class DeadlineExceeded(PalaverClientError):
    """The call's timeout was over before the answer was whole."""


class Cancelled(PalaverClientError):
    """The call was ended before the answer was whole: by ``close``, from another task or thread, or by the server."""


class InternalError(PalaverClientError):
    """The server failed. Its log tells more under ``request_id``."""
