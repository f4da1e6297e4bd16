"""The one table from a reason to the statuses of every protocol, and the error details that go with it.

Error model: ``google.rpc.Status`` with ``ErrorInfo`` always, ``BadRequest`` where fields are to blame, ``RetryInfo``
where waiting helps, ``QuotaFailure`` for limits (https://google.aip.dev/193).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from palaver_server.core.errors import FieldViolation, PalaverError, Reason, cut_to_bytes

DOMAIN = "palaver.v1"
STATUS_DETAILS_KEY = "grpc-status-details-bin"
"""Where gRPC carries a serialized ``google.rpc.Status``; it must agree with the call's own code and message."""

LAST_WORDS_SECONDS = 2.0
"""What the words of a call that fails may take to be sent; they lie behind all that its caller has not read yet."""

NO_PLACE_SECONDS = 10.0
"""What to wait for a place among calls that stay open as long as their callers like."""

MAX_VIOLATIONS = 16
"""Fields told of one error; more help nobody."""
MAX_FIELD_CHARACTERS = 256
"""Of a field's path, in which a caller's own key may stand."""
MAX_DESCRIPTION_BYTES = 512
MAX_STATUS_BYTES = 3 * 1024
"""Of a serialized status. In the trailers it takes four thirds of that, and they pass gRPC's soft limit of 8 KiB."""

BODY_KEY = "x-palaver-body"
"""Trailing metadata whose text (ASCII JSON, at most 4 KB) the edge sends as the body of an error over HTTP, in place of
the transcoded ``google.rpc.Status``."""


@dataclass(frozen=True, slots=True)
class Statuses:
    """How one reason is said in each protocol."""

    code: grpc.StatusCode
    http_status: int
    """What the transcoding edge makes of ``code``."""
    openai_type: str
    openai_code: str | None


_C = grpc.StatusCode
TABLE: Mapping[Reason, Statuses] = {
    Reason.INVALID_FIELD: Statuses(_C.INVALID_ARGUMENT, 400, "invalid_request_error", "invalid_value"),
    Reason.FIELD_NOT_SUPPORTED: Statuses(_C.INVALID_ARGUMENT, 400, "invalid_request_error", "unsupported_parameter"),
    Reason.MALFORMED_REQUEST: Statuses(_C.INVALID_ARGUMENT, 400, "invalid_request_error", "malformed_request"),
    Reason.PROMPT_TOO_LONG: Statuses(_C.INVALID_ARGUMENT, 400, "invalid_request_error", "context_length_exceeded"),
    Reason.MODEL_NOT_FOUND: Statuses(_C.NOT_FOUND, 404, "invalid_request_error", "model_not_found"),
    Reason.METHOD_NOT_FOUND: Statuses(_C.UNIMPLEMENTED, 501, "invalid_request_error", "unknown_url"),
    Reason.SERVICE_NOT_FOUND: Statuses(_C.NOT_FOUND, 404, "invalid_request_error", "service_not_found"),
    Reason.KEY_MISSING: Statuses(_C.UNAUTHENTICATED, 401, "invalid_request_error", None),  # as api.openai.com has it
    Reason.KEY_MALFORMED: Statuses(_C.UNAUTHENTICATED, 401, "invalid_request_error", "invalid_api_key"),
    Reason.KEY_UNKNOWN: Statuses(_C.UNAUTHENTICATED, 401, "invalid_request_error", "invalid_api_key"),
    Reason.KEY_EXPIRED: Statuses(_C.UNAUTHENTICATED, 401, "invalid_request_error", "invalid_api_key"),
    Reason.KEY_REVOKED: Statuses(_C.UNAUTHENTICATED, 401, "invalid_request_error", "invalid_api_key"),
    Reason.METHOD_NOT_ALLOWED: Statuses(_C.PERMISSION_DENIED, 403, "invalid_request_error", "insufficient_permissions"),
    Reason.MODEL_NOT_ALLOWED: Statuses(_C.PERMISSION_DENIED, 403, "invalid_request_error", "model_not_found"),
    Reason.RATE_LIMITED: Statuses(_C.RESOURCE_EXHAUSTED, 429, "requests", "rate_limit_exceeded"),
    Reason.TOO_MANY_FAILED_ATTEMPTS: Statuses(_C.RESOURCE_EXHAUSTED, 429, "requests", "too_many_failed_attempts"),
    Reason.MODEL_LOADING: Statuses(_C.UNAVAILABLE, 503, "server_error", "model_loading"),
    Reason.SERVER_OVERLOADED: Statuses(_C.RESOURCE_EXHAUSTED, 429, "server_error", "server_overloaded"),
    Reason.SERVER_DRAINING: Statuses(_C.UNAVAILABLE, 503, "server_error", "server_draining"),
    Reason.ENGINE_UNAVAILABLE: Statuses(_C.UNAVAILABLE, 503, "server_error", "engine_unavailable"),
    Reason.GENERATION_FAILED: Statuses(_C.INTERNAL, 500, "server_error", "generation_failed"),
    Reason.DEADLINE_TOO_SHORT: Statuses(_C.DEADLINE_EXCEEDED, 504, "server_error", "deadline_too_short"),
    Reason.DEADLINE_EXCEEDED: Statuses(_C.DEADLINE_EXCEEDED, 504, "server_error", "deadline_exceeded"),
    Reason.READER_TOO_SLOW: Statuses(_C.DEADLINE_EXCEEDED, 504, "server_error", "reader_too_slow"),
    Reason.CANCELLED: Statuses(_C.CANCELLED, 499, "server_error", "cancelled"),
    Reason.INTERNAL: Statuses(_C.INTERNAL, 500, "server_error", "internal_error"),
}
"""Every reason stands here; a test sees to it."""


def internal_error() -> PalaverError:
    """What a caller is told of a fault of ours; the log has the rest."""
    return PalaverError(
        Reason.INTERNAL, "An internal error happened; the server's log tells more under the request id."
    )


def no_place(most: int, calls: str) -> PalaverError:
    """What whoever opens one call more is told, where calls that stay open are bounded by themselves."""
    return PalaverError(
        Reason.SERVER_OVERLOADED, f"{most} {calls} are open already", retry_after_seconds=NO_PLACE_SECONDS
    )


def stopping_error() -> PalaverError:
    """What an open call that has no end of its own is told when the server stops."""
    return PalaverError(Reason.SERVER_DRAINING, "the server is stopping")


def told_error(error: Exception) -> PalaverError:
    """What a caller is told of whatever a handler has raised."""
    return error if isinstance(error, PalaverError) else internal_error()


def status_from_error(error: PalaverError, request_id: str) -> status_pb2.Status:
    """The ``google.rpc.Status`` of an error, with the request id in its ``ErrorInfo``, of ``MAX_STATUS_BYTES`` at most.

    Violations for which there is no room are counted in the ``ErrorInfo``, as ``violations_left_out``.
    """
    told = min(len(error.violations), MAX_VIOLATIONS)
    while (status := _status(error, request_id, told)).ByteSize() > MAX_STATUS_BYTES and told > 1:
        told -= 1
    return status


def told_field(violation: FieldViolation) -> str:
    """The path of a field as callers are told it."""
    path = violation.field
    return path if len(path) <= MAX_FIELD_CHARACTERS else f"{path[: MAX_FIELD_CHARACTERS - 3]}..."


def _status(error: PalaverError, request_id: str, told: int) -> status_pb2.Status:
    metadata = {**error.metadata, "request_id": request_id}
    if left_out := len(error.violations) - told:
        metadata["violations_left_out"] = str(left_out)
    details = [_packed(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata))]
    if error.violations:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(
                field=told_field(violation),
                description=cut_to_bytes(violation.description, MAX_DESCRIPTION_BYTES),
                reason=error.reason,
            )
            for violation in error.violations[:told]
        ]
        details.append(_packed(error_details_pb2.BadRequest(field_violations=violations)))
    if error.quota_violations:
        quota = [
            error_details_pb2.QuotaFailure.Violation(subject=violation.subject, description=violation.description)
            for violation in error.quota_violations
        ]
        details.append(_packed(error_details_pb2.QuotaFailure(violations=quota)))
    if error.retry_after_seconds is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(math.ceil(error.retry_after_seconds * 1000) * 1_000_000)
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    number: int = TABLE[error.reason].code.value[0]
    return status_pb2.Status(code=number, message=error.message, details=details)


def trailing_metadata(error: PalaverError, request_id: str) -> tuple[tuple[str, str | bytes], ...]:
    """What an error adds to a call's trailers: its details, the request id, and the time to wait.

    The last two reach HTTP callers as headers: ``retry-after`` in whole seconds (RFC 9110, section 10.2.3), and
    ``retry-after-ms``, which OpenAI's clients prefer.
    """
    status = status_from_error(error, request_id)
    metadata: list[tuple[str, str | bytes]] = [
        (STATUS_DETAILS_KEY, status.SerializeToString()),
        ("x-request-id", request_id),
    ]
    if error.retry_after_seconds is not None:
        metadata.append(("retry-after", str(math.ceil(error.retry_after_seconds))))
        metadata.append(("retry-after-ms", str(math.ceil(error.retry_after_seconds * 1000))))
    return tuple(metadata)


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
