"""``envoy.service.auth.v3.Authorization``: Envoy asks who a caller is before it passes a request on.

The answer is identity alone. Rights and limits are the server's to check, once, when it knows the method.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import attribute_context_pb2, external_auth_pb2, external_auth_pb2_grpc
from envoy.type.v3 import http_status_pb2
from google.protobuf import struct_pb2
from google.rpc import status_pb2

from palaver_server.core.errors import PalaverError
from palaver_server.core.identity.client import Client
from palaver_server.core.identity.door import Door
from palaver_server.rpc.call import REQUEST_ID_KEY, request_id_from
from palaver_server.rpc.entrance import is_loopback, key_from
from palaver_server.rpc.errors import TABLE
from palaver_server.rpc.internal.refusal import Protocol, header_values, refusal
from palaver_server.rpc.turns import LONG_BODY_BYTES, turn
from palaver_server.telemetry.metrics.decisions import DecisionMetrics

RATE_LIMIT_KEY = "rate_limit_key"
"""The name of the rate-limit descriptor, and of the metadata that Envoy fills it from: the id of a limited key."""

CheckHttp = Callable[[str, str, bytes], PalaverError | None]
"""Method, path and raw body of an HTTP request to what is wrong with it; the body is empty where Envoy sends none."""

_REPLACE = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD

Context = grpc.aio.ServicerContext[Any, Any]


class AuthorizationService(external_auth_pb2_grpc.AuthorizationServicer):  # type: ignore[misc]  # published without types
    """Turns a request's key into a client, and tells Envoy in its dynamic metadata.

    No header is set: a header could be forged by whoever reaches the server without Envoy.
    """

    def __init__(self, door: Door, check_http: CheckHttp | None, decisions: DecisionMetrics | None = None) -> None:
        self._decisions = decisions
        self._door = door
        self._check_http = check_http

    async def Check(  # noqa: N802  # Envoy's name
        self, request: external_auth_pb2.CheckRequest, context: Context
    ) -> external_auth_pb2.CheckResponse:
        """Answer OK with the client, or a whole refusal."""
        http = request.attributes.request.http
        headers = http.headers
        protocol = Protocol.of(http.path, headers.get("content-type", ""))
        try:
            address = _address(request.attributes.source)
            client = self._identify(headers, address)
            if protocol is not Protocol.GRPC and self._check_http is not None:
                error = await _unhurried(self._check_http, http)
                if error is not None:
                    raise error
        except PalaverError as error:
            return _denied(error, protocol, request_id_from(headers.get(REQUEST_ID_KEY)))
        return external_auth_pb2.CheckResponse(
            status=status_pb2.Status(),
            ok_response=external_auth_pb2.OkHttpResponse(),
            dynamic_metadata=_metadata(client),
        )

    def _identify(self, headers: Mapping[str, str], address: str | None) -> Client:
        reason = None
        try:
            return self._door.identify(key_from(headers), address=address, is_local=is_loopback(address))
        except PalaverError as error:
            reason = error.reason
            raise
        finally:
            if self._decisions is not None:
                self._decisions.key_checked(reason)


async def _unhurried(check: CheckHttp, http: Any) -> PalaverError | None:
    """Read a long body beside the event loop, on which everybody's tokens pass."""
    if len(http.raw_body) < LONG_BODY_BYTES:
        return check(http.method, http.path, http.raw_body)
    async with turn():
        return await asyncio.to_thread(check, http.method, http.path, http.raw_body)


def _address(source: attribute_context_pb2.AttributeContext.Peer) -> str | None:
    """Where the caller is; None for one who came to Envoy by a unix socket."""
    return source.address.socket_address.address or None


def _metadata(client: Client) -> struct_pb2.Struct:
    metadata = struct_pb2.Struct()
    metadata["client_id"] = client.id
    if client.key_id is not None:
        metadata["key_id"] = client.key_id
        metadata["tier"] = client.tier
        if client.requests_per_minute is not None:
            metadata[RATE_LIMIT_KEY] = client.key_id
            # For a rate-limit service that does not know the keys: envoy.type.v3.RateLimitUnit by name.
            metadata["rate_limit"] = {"requests_per_unit": client.requests_per_minute, "unit": "MINUTE"}
    return metadata


def _denied(error: PalaverError, protocol: Protocol, request_id: str) -> external_auth_pb2.CheckResponse:
    shaped = refusal(error, protocol, request_id)
    return external_auth_pb2.CheckResponse(
        status=status_pb2.Status(code=TABLE[error.reason].code.value[0], message=error.message),
        denied_response=external_auth_pb2.DeniedHttpResponse(
            status=http_status_pb2.HttpStatus(code=shaped.http_status),
            headers=[
                base_pb2.HeaderValueOption(header=value, append_action=_REPLACE)
                for value in header_values(shaped.headers)
            ],
            body=shaped.body.decode(),
        ),
    )
