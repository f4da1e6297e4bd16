"""The internal listener: Envoy's questions, and nothing else. No key, no admission, no drain stands before it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from envoy.service.auth.v3 import external_auth_pb2_grpc
from envoy.service.ratelimit.v3 import rls_pb2_grpc

from palaver_server.core.identity.door import Door
from palaver_server.core.identity.registry import KeyRegistry
from palaver_server.core.limits.request_limiter import RequestLimiter
from palaver_server.rpc.by_name import by_name
from palaver_server.rpc.internal.authorization import AuthorizationService, CheckHttp
from palaver_server.rpc.internal.rate_limit import RateLimitService
from palaver_server.rpc.listener import bind
from palaver_server.rpc.transport import ServerLimits, new_server
from palaver_server.rpc.unix_socket import UnixAccess
from palaver_server.telemetry.metrics.decisions import DecisionMetrics

STOP_SECONDS = 0.5
FRAME_BYTES = 1024 * 1024
"""What a question may have beside a request's body."""


class InternalServer:
    """Answers ``Authorization`` and ``RateLimitService`` on a unix socket. Belongs to one event loop."""

    def __init__(
        self,
        door: Door,
        registry: KeyRegistry,
        limiter: RequestLimiter,
        *,
        limits: ServerLimits,
        check_http: CheckHttp | None = None,
        decisions: DecisionMetrics | None = None,
    ) -> None:
        # A question holds a whole request, its headers, and what Envoy knows of the connection.
        room = limits.max_receive_message_bytes + FRAME_BYTES
        self._server = new_server(replace(limits, max_receive_message_bytes=room))
        external_auth_pb2_grpc.add_AuthorizationServicer_to_server(
            AuthorizationService(door, check_http, decisions), by_name(self._server)
        )
        rls_pb2_grpc.add_RateLimitServiceServicer_to_server(
            RateLimitService(registry, limiter, decisions), by_name(self._server)
        )

    async def start(self, socket: Path, access: UnixAccess) -> str:
        """Bind and answer; give the address.

        Raises:
            ListenError: the socket cannot be made.
        """
        address = bind(self._server, f"unix:{socket}", access=access)
        await self._server.start()
        return address

    async def stop(self) -> None:
        """Close the socket. After the API's sockets: calls that end there may still have questions before them."""
        await self._server.stop(STOP_SECONDS)
