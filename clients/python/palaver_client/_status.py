"""An RPC's end as one of the errors of this library."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, cast

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from palaver_client import errors
from palaver_client._metadata import REQUEST_ID

M = TypeVar("M", bound=Message)

_Code = grpc.StatusCode
_CLASSES: dict[grpc.StatusCode, type[errors.PalaverClientError]] = {
    _Code.INVALID_ARGUMENT: errors.InvalidRequest,
    _Code.OUT_OF_RANGE: errors.InvalidRequest,
    _Code.FAILED_PRECONDITION: errors.InvalidRequest,
    _Code.NOT_FOUND: errors.NotFound,
    _Code.UNIMPLEMENTED: errors.Unimplemented,
    _Code.UNAUTHENTICATED: errors.Unauthenticated,
    _Code.PERMISSION_DENIED: errors.PermissionDenied,
    _Code.RESOURCE_EXHAUSTED: errors.Overloaded,
    _Code.UNAVAILABLE: errors.Unavailable,
    _Code.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    _Code.CANCELLED: errors.Cancelled,
    _Code.INTERNAL: errors.InternalError,
    _Code.UNKNOWN: errors.InternalError,
    _Code.DATA_LOSS: errors.InternalError,
}
_TOO_LARGE = ("larger than max", "metadata size exceeds")
"""How gRPC says, on either side, that a message or its metadata is over a limit
(``message_size_filter.cc`` and ``hpack_parser.cc`` in grpc/grpc). It has the same code as a full server."""


def error_from(
    rpc_error: grpc.RpcError, *, address: str, request_id: str, timeout: float | None
) -> errors.PalaverClientError:
    """Translate what gRPC raised for a call.

    Args:
        rpc_error: what gRPC raised, by either API.
        address: where the call went, for people.
        request_id: what the client named the call; the server may have named it otherwise.
        timeout: seconds that the call was given.
    """
    code, text = rpc_error.code(), rpc_error.details() or ""
    trailers = dict(cast(Iterable[tuple[str, str | bytes]], rpc_error.trailing_metadata() or ()))
    status = _status_of(rpc_error)
    info = _detail(status, error_details_pb2.ErrorInfo)
    metadata = dict(info.metadata) if info else {}
    request_id = metadata.pop("request_id", "") or str(trailers.get(REQUEST_ID, "")) or request_id
    error_class = _CLASSES.get(code, errors.PalaverClientError)
    if info is None:
        error_class, text = _said_by_grpc(code, text, error_class, address, timeout, is_answered=bool(trailers))
    return error_class(
        text or f"The call ended with {code.name} and without a word.",
        reason=info.reason if info else None,
        code=code,
        request_id=request_id,
        retry_after=_retry_after(status, trailers),
        fields=_fields(status),
        metadata=metadata,
    )


def locally_cancelled(request_id: str | None) -> errors.Cancelled:
    """The error of a call that this client has ended while somebody waited for it."""
    return errors.Cancelled("The call was closed before its end.", code=_Code.CANCELLED, request_id=request_id)


def _said_by_grpc(
    code: grpc.StatusCode,
    text: str,
    error_class: type[errors.PalaverClientError],
    address: str,
    timeout: float | None,
    *,
    is_answered: bool,
) -> tuple[type[errors.PalaverClientError], str]:
    """Class and words for an end that no palaver server has described; gRPC's own need explaining."""
    if code is _Code.RESOURCE_EXHAUSTED and any(mark in text for mark in _TOO_LARGE):
        return errors.InvalidRequest, (
            f"The request or its answer is too large: {text}. The server's limit is its max_request_bytes; this "
            "client's are max_request_bytes and max_answer_bytes."
        )
    if code is _Code.UNAVAILABLE and not is_answered:
        cause = text.removeprefix("failed to connect to all addresses; last error: ").rstrip(".")
        return errors.ConnectionFailed, (
            f"No answer from {address}: {cause}. See that a server listens there (palaver serve), and that both "
            "ends use TLS or neither does."
        )
    if code is _Code.DEADLINE_EXCEEDED and timeout is not None and not is_answered:
        return error_class, f"The answer was not whole within the call's timeout of {timeout:g} s."
    return error_class, text


def _status_of(rpc_error: grpc.RpcError) -> status_pb2.Status | None:
    try:
        # The published types know grpc.Call only; the errors of both APIs have what is read here.
        found: status_pb2.Status | None = rpc_status.from_call(rpc_error)  # type: ignore[arg-type]
    except (ValueError, DecodeError):
        return None  # something on the way has put another status over it: the details belong to none
    return found


def _detail(status: status_pb2.Status | None, kind: type[M]) -> M | None:
    for packed in status.details if status else ():
        if packed.Is(kind.DESCRIPTOR):
            detail = kind()
            try:
                packed.Unpack(detail)
            except DecodeError:
                return None
            return detail
    return None


def _retry_after(status: status_pb2.Status | None, trailers: dict[str, str | bytes]) -> float | None:
    if (info := _detail(status, error_details_pb2.RetryInfo)) is not None:
        return max(float(info.retry_delay.ToNanoseconds()) / 1e9, 0.0)
    # Proxies that know nothing of google.rpc say it as HTTP does, in whole seconds (RFC 9110, 10.2.3).
    header = trailers.get("retry-after")
    return float(header) if isinstance(header, str) and header.isascii() and header.isdecimal() else None


def _fields(status: status_pb2.Status | None) -> tuple[errors.FieldViolation, ...]:
    detail = _detail(status, error_details_pb2.BadRequest)
    violations = detail.field_violations if detail else ()
    return tuple(errors.FieldViolation(violation.field, violation.description) for violation in violations)
