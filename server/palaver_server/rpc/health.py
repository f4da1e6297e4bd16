"""``grpc.health.v1.Health`` over ``core.readiness``, answered from the first second of a start.

grpcio's own servicer starts as SERVING, is told of changes instead of asking, and lacks ``List``; so this is ours.
Protocol: https://github.com/grpc/grpc/blob/master/doc/health-checking.md; what clients make of a Watch: gRFC A17.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from palaver_server.core.errors import Reason, invalid_field
from palaver_server.core.readiness import NotReady, Readiness
from palaver_server.rpc.errors import no_place, stopping_error

OVERALL = ""
"""The server as a whole: SERVING when it answers chats."""
LIVE = "palaver.live"
"""SERVING as long as the process and its event loop work, also while the model loads and while the server drains.
For a liveness probe: what is not ready yet must not be restarted."""

_Request: TypeAlias = health_pb2.HealthCheckRequest
_Response: TypeAlias = health_pb2.HealthCheckResponse
_Context: TypeAlias = grpc.aio.ServicerContext[_Request, _Response]


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Answers Check, List and Watch for the whole server, its services, and ``palaver.live``.

    Nothing is stored: an answer is computed from ``readiness`` when it is asked for, so it cannot be out of date, and
    with a reason in ``readiness`` from the beginning no answer is SERVING too early. Belongs to one event loop.

    Args:
        readiness: decides on the whole server and every service alike.
        services: full names of the services that are SERVING when the server is ready, ``palaver.v1.ChatService``.
        max_watches: open Watch calls at most; the next is refused with RESOURCE_EXHAUSTED. A Watch never ends by
            itself, so without a bound careless clients would take every place that the server has for calls.
    """

    def __init__(self, readiness: Readiness, services: Iterable[str], *, max_watches: int = 256) -> None:
        self._readiness = readiness
        self._ready_names = frozenset((OVERALL, *services))
        self._max_watches = max_watches
        self._watch_count = 0
        self._is_closed = False

    def __repr__(self) -> str:
        closed = ", closed" if self._is_closed else ""
        return f"HealthServicer({self._readiness}, watches={self._watch_count}/{self._max_watches}{closed})"

    @property
    def watch_count(self) -> int:
        """Open Watch calls."""
        return self._watch_count

    async def Check(self, request: _Request, context: _Context) -> _Response:  # noqa: N802 - the protocol's name
        """Answer the present state of a service, or NOT_FOUND for a name that nobody serves here."""
        status = self._status(request.service)
        if status == _Response.SERVICE_UNKNOWN:
            raise invalid_field(
                "service",
                "no such name here; grpc.health.v1.Health/List tells those there are",
                reason=Reason.SERVICE_NOT_FOUND,
            )
        return _Response(status=status)

    async def List(  # noqa: N802 - the protocol's name
        self,
        request: health_pb2.HealthListRequest,  # type: ignore[name-defined]  # the published types are older than List
        context: _Context,
    ) -> health_pb2.HealthListResponse:  # type: ignore[name-defined]
        """Answer the present state of every name."""
        del request, context
        return health_pb2.HealthListResponse(  # type: ignore[attr-defined]
            statuses={name: _Response(status=self._status(name)) for name in sorted((*self._ready_names, LIVE))}
        )

    async def Watch(self, request: _Request, context: _Context) -> None:  # noqa: N802 - the protocol's name
        """Send the present state, then each change, until the client leaves or ``close`` is called.

        A state that came and went while the one before was being sent is left out: clients want the newest.
        A name that nobody serves here is answered SERVICE_UNKNOWN, and the call stays open, as the protocol asks.
        """
        if self._watch_count >= self._max_watches:
            raise no_place(self._max_watches, "Watch calls")
        self._watch_count += 1
        try:
            sent = None
            while True:
                # No await stands between looking at the state and waiting for its change: none is missed.
                if (status := self._status(request.service)) != sent:
                    await context.write(_Response(status=status))
                    sent = status
                elif self._is_closed:
                    break
                else:
                    await self._readiness.changed()
        finally:
            self._watch_count -= 1
        # Any end but UNIMPLEMENTED makes clients watch anew after a while; this one also says why.
        raise stopping_error()

    def close(self) -> None:
        """End every Watch, so that an idle server need not wait for them to stop.

        States ``NotReady.DRAINING`` too, so ready names are told NOT_SERVING before their Watch ends with UNAVAILABLE.
        Check and List go on answering; a Watch that is opened later gets its state and ends at once.
        """
        self._is_closed = True
        self._readiness.add(NotReady.DRAINING)  # wakes every Watch

    def _status(self, service: str) -> int:
        if service == LIVE:
            return _Response.SERVING
        if service not in self._ready_names:
            return _Response.SERVICE_UNKNOWN
        return _Response.SERVING if self._readiness.is_ready else _Response.NOT_SERVING
