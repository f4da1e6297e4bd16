"""``envoy.service.ratelimit.v3.RateLimitService``: Envoy asks whether a caller may call now.

A request comes with the key that pays and with what decides how a refusal must look; about keys without a limit, and
where nobody needs a key, nothing is asked. Where envoyproxy/ratelimit counts for a fleet instead, Envoy sends it only
the key.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import grpc
from envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc

from palaver_server.core.errors import Reason
from palaver_server.core.identity.registry import KeyRegistry
from palaver_server.core.limits.request_limiter import RequestLimiter, rate_limited
from palaver_server.core.limits.token_bucket import Charge
from palaver_server.rpc.call import request_id_from
from palaver_server.rpc.entrance import UNCOUNTED_SERVICES, rate_headers
from palaver_server.rpc.internal.authorization import RATE_LIMIT_KEY
from palaver_server.rpc.internal.refusal import Protocol, header_values, refusal
from palaver_server.telemetry.metrics.decisions import DecisionMetrics

PATH, CONTENT_TYPE, REQUEST_ID = "path", "content_type", "request_id"
"""Names of the descriptor's other entries."""

Context = grpc.aio.ServicerContext[Any, Any]


class RateLimitService(rls_pb2_grpc.RateLimitServiceServicer):  # type: ignore[misc]  # published without types
    """Draws from the same buckets as callers who come without Envoy."""

    def __init__(
        self, registry: KeyRegistry, limiter: RequestLimiter, decisions: DecisionMetrics | None = None
    ) -> None:
        self._decisions = decisions
        self._registry = registry
        self._limiter = limiter

    async def ShouldRateLimit(  # noqa: N802  # Envoy's name
        self, request: rls_pb2.RateLimitRequest, context: Context
    ) -> rls_pb2.RateLimitResponse:
        """Count one call, and say whether it may pass. Calls without a limited key may."""
        entries = {entry.key: entry.value for descriptor in request.descriptors for entry in descriptor.entries}
        # A key that has been revoked since Envoy asked for it is the server's to refuse.
        client = self._registry.client_of(entries.get(RATE_LIMIT_KEY, ""))
        if entries.get(PATH, "").startswith(UNCOUNTED_SERVICES):
            client = None
        charge = self._limiter.charge(client) if client is not None else None
        if client is None or charge is None:
            return rls_pb2.RateLimitResponse(overall_code=rls_pb2.RateLimitResponse.OK)
        if self._decisions is not None:
            self._decisions.limit_checked(client.tier, None if charge.is_allowed else Reason.RATE_LIMITED)
        protocol = Protocol.of(entries.get(PATH, ""), entries.get(CONTENT_TYPE, ""))
        told = (*rate_headers(charge), *(_openai_rate_headers(charge) if protocol is Protocol.OPENAI else ()))
        if charge.is_allowed:
            return rls_pb2.RateLimitResponse(
                overall_code=rls_pb2.RateLimitResponse.OK, response_headers_to_add=header_values(told)
            )
        shaped = refusal(rate_limited(client, charge), protocol, request_id_from(entries.get(REQUEST_ID)))
        return rls_pb2.RateLimitResponse(
            overall_code=rls_pb2.RateLimitResponse.OVER_LIMIT,
            response_headers_to_add=header_values((*told, *shaped.headers)),
            raw_body=shaped.body,
        )


def _openai_rate_headers(charge: Charge) -> Iterator[tuple[str, str]]:
    """The names and the form under which OpenAI's clients know them; a duration is ``1.5s``."""
    yield "x-ratelimit-limit-requests", str(charge.limit)
    yield "x-ratelimit-remaining-requests", str(charge.remaining)
    yield "x-ratelimit-reset-requests", f"{math.ceil(charge.reset_seconds * 1000) / 1000:g}s"
