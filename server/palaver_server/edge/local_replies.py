"""What Envoy says when it answers by itself, in the shape that each protocol's clients read.

gRPC clients get the sentence as ``grpc-message``, callers of ``/v1/`` OpenAI's error document, all others
``google.rpc.Status`` as JSON. Envoy knows an HTTP status and a sentence of its own, which tells of its insides; so the
sentence is ours, but for requests that it could not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ITS_OWN = "%LOCAL_REPLY_BODY%"
"""Envoy's own words. Only where they tell the caller what is wrong with their request."""


@dataclass(frozen=True, slots=True)
class LocalReply:
    """One HTTP status that Envoy answers by itself."""

    status: int
    code: int
    """The number of the gRPC code in a ``google.rpc.Status``; Envoy itself maps statuses for gRPC callers."""
    reason: str
    message: str
    openai_type: str = "invalid_request_error"
    openai_code: str | None = None
    retry_after: str | None = None
    """Seconds, where waiting helps; or Envoy's name of the place where it finds them."""
    is_of_a_request: bool = True
    """Whether Envoy has read the request's headers by then, and given it an id."""


OVERLOADED = LocalReply(
    429,
    8,
    "EDGE_OVERLOADED",
    "Too many requests at once.",
    openai_type="server_error",
    openai_code="server_overloaded",
    retry_after="1",
)
LIMITED = LocalReply(
    429,
    8,
    "RATE_LIMITED",
    "The key's limit of requests per minute is reached. Try again after the time given.",
    openai_type="requests",
    openai_code="rate_limit_exceeded",
    retry_after="%RESP(X-RATELIMIT-RESET)%",
)
"""The server's own refusal has more to say; a service that counts for a fleet knows nothing of our protocols."""


def local_replies(
    *, max_request_bytes: int, max_header_kib: int, stream_idle_seconds: float, are_limits_shared: bool = False
) -> Sequence[LocalReply]:
    """Every status that Envoy can answer by itself; the last one stands for whatever is not named.

    With ``are_limits_shared`` another service than our server counts requests, and does not say how a refusal looks.
    """
    return (
        LocalReply(
            400, 3, "MALFORMED_REQUEST", f"This request cannot be read. {ITS_OWN}", openai_code="malformed_request"
        ),
        LocalReply(
            403, 7, "ORIGIN_NOT_ALLOWED", "Pages of this origin may not call.", openai_code="origin_not_allowed"
        ),
        LocalReply(404, 5, "PATH_NOT_FOUND", "There is no such path.", openai_code="unknown_url"),
        LocalReply(
            405,
            12,
            "HTTP_METHOD_NOT_ALLOWED",
            "This path takes another HTTP method; the header `allow` names it.",
            openai_code="method_not_allowed",
        ),
        LocalReply(
            408,
            4,
            "REQUEST_TIMEOUT",
            "The request did not arrive in time.",
            openai_code="request_timeout",
        ),
        LocalReply(
            413,
            11,
            "REQUEST_TOO_LARGE",
            f"The body of a request has at most {max_request_bytes} bytes.",
            openai_code="request_too_large",
        ),
        LocalReply(
            415,
            3,
            "UNSUPPORTED_MEDIA_TYPE",
            "The body of a request is JSON: send it with `content-type: application/json`.",
            openai_code="unsupported_media_type",
        ),
        LocalReply(
            431,
            11,
            "HEADERS_TOO_LARGE",
            f"The headers of a request, its path among them, have at most {max_header_kib} KiB.",
            openai_code="headers_too_large",
            is_of_a_request=False,
        ),
        LIMITED if are_limits_shared else OVERLOADED,
        LocalReply(
            503,
            14,
            "SERVER_UNREACHABLE",
            "The model's server gives no answer just now.",
            openai_type="server_error",
            openai_code="server_unreachable",
            retry_after="1",
        ),
        LocalReply(
            504,
            4,
            "DEADLINE_EXCEEDED",
            "The answer was not there in time: the caller's own `grpc-timeout` has passed, the answer took longer than "
            f"the server allows, or nothing was said for {stream_idle_seconds:g} s.",
            openai_type="server_error",
            openai_code="deadline_exceeded",
        ),
        LocalReply(
            0,
            13,
            "EDGE_FAILURE",
            "The request could not be passed on, or its answer could not be passed back.",
            openai_type="server_error",
            openai_code="edge_failure",
        ),
    )
