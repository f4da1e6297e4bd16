"""How a refusal looks that Envoy sends in our place: as if the server had answered, in the caller's protocol."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from enum import Enum, unique
from http import HTTPStatus

from envoy.config.core.v3 import base_pb2

from palaver_server.core.errors import PalaverError
from palaver_server.rpc.errors import TABLE, trailing_metadata
from palaver_server.rpc.openai.errors import error_json
from palaver_server.rpc.rest import status_json

ERROR_HEADER = "x-palaver-error"
"""Tells Envoy that an answer has its shape already."""


@unique
class Protocol(Enum):
    """What a caller speaks."""

    GRPC = "grpc"
    """gRPC, and gRPC-Web, which Envoy has turned into it by then."""
    REST = "rest"
    OPENAI = "openai"

    @classmethod
    def of(cls, path: str, content_type: str) -> Protocol:
        """As the request's path and content type tell it."""
        if content_type.startswith("application/grpc"):
            return cls.GRPC
        return cls.OPENAI if path.startswith("/v1/") else cls.REST


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer for Envoy to send."""

    http_status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def refusal(error: PalaverError, protocol: Protocol, request_id: str) -> Refusal:
    """Shape an error for a caller.

    For gRPC the body is the message alone: Envoy makes it the ``grpc-message``, and clients that read the details
    insist that both agree.
    """
    statuses = TABLE[error.reason]
    headers = [(ERROR_HEADER, error.reason.value)]
    for name, value in trailing_metadata(error, request_id):
        if isinstance(value, str):
            headers.append((name, value))
        elif protocol is Protocol.GRPC:
            headers.append((name, base64.b64encode(value).decode().rstrip("=")))  # as gRPC sends binary headers
    if statuses.http_status == HTTPStatus.UNAUTHORIZED:
        headers.append(("www-authenticate", 'Bearer realm="palaver"'))  # RFC 9110, 15.5.2: a 401 names its scheme
    if protocol is Protocol.GRPC:
        # Envoy would make UNAVAILABLE of a 429.
        headers.append(("grpc-status", str(statuses.code.value[0])))
        return Refusal(statuses.http_status, tuple(headers), error.message.encode())
    headers.append(("content-type", "application/json"))
    body = error_json(error).encode() if protocol is Protocol.OPENAI else status_json(error, request_id)
    return Refusal(statuses.http_status, tuple(headers), body)


def header_values(headers: tuple[tuple[str, str], ...]) -> list[base_pb2.HeaderValue]:
    """Headers as Envoy's API takes them."""
    return [base_pb2.HeaderValue(key=name, value=value) for name, value in headers]
