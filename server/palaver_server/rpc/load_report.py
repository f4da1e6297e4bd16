"""Load reports by ORCA, the protocol by which load balancers learn how busy a server is (gRFC A51).

Messages: https://github.com/cncf/xds, ``xds/data/orca/v3`` and ``xds/service/orca/v3``. The named metrics have the
names that vLLM's own server gives them in its reports.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from xds.data.orca.v3.orca_load_report_pb2 import OrcaLoadReport
from xds.service.orca.v3 import orca_pb2

from palaver_server.core.load import Load
from palaver_server.rpc.errors import no_place, stopping_error

SERVICE = "xds.service.orca.v3.OpenRcaService"
TRAILER = "endpoint-load-metrics-bin"
"""Where a call's trailers carry a serialized ``OrcaLoadReport``."""
DEFAULT_SECONDS = 10.0
"""Between two reports where nobody says; what Envoy asks for by itself."""
MIN_SECONDS = 0.1
"""However often they are asked for. A report takes some 20 microseconds."""
MAX_STREAMS = 64
"""Open at most: load balancers, one or a few a server."""

Context = grpc.aio.ServicerContext[Any, Any]


def report_of(load: Load) -> OrcaLoadReport:
    """What a load balancer is told."""
    now = load.report()
    return OrcaLoadReport(
        application_utilization=now.utilization,
        rps_fractional=now.calls_per_second,
        eps=now.errors_per_second,
        named_metrics={
            "kv_cache_usage_perc": now.kv_cache_usage,
            "num_requests_running": now.running,
            "num_requests_waiting": now.waiting,
        },
    )


class LoadReports:
    """Tells load balancers how busy the server is.

    Args:
        load: what is told.
        has_trailers: tell it at the end of each call that asks for an answer.
        has_stream: serve ``xds.service.orca.v3.OpenRcaService``, for reports out of band. It asks for no key: a load
            balancer has none, and learns nothing but how busy the server is.
    """

    def __init__(self, load: Load, *, has_trailers: bool, has_stream: bool) -> None:
        self._load = load
        self._has_trailers = has_trailers
        self._has_stream = has_stream
        self._stream_count = 0
        self._is_closed = asyncio.Event()

    def __repr__(self) -> str:
        return f"LoadReports(streams={self._stream_count}/{MAX_STREAMS})"

    def trailers(self) -> tuple[tuple[str, bytes], ...]:
        """What the trailers of a call that ends now tell."""
        if not self._has_trailers:
            return ()
        return ((TRAILER, report_of(self._load).SerializeToString()),)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve on a server that has not started."""
        if self._has_stream:
            handler = grpc.unary_stream_rpc_method_handler(
                self.StreamCoreMetrics, orca_pb2.OrcaLoadReportRequest.FromString, OrcaLoadReport.SerializeToString
            )
            server.add_generic_rpc_handlers(
                [grpc.method_handlers_generic_handler(SERVICE, {"StreamCoreMetrics": handler})]
            )

    async def StreamCoreMetrics(  # noqa: N802  # the protocol's name
        self, request: orca_pb2.OrcaLoadReportRequest, context: Context
    ) -> None:
        """Report at once, then as often as asked for, until the listener leaves or ``close`` is called.

        ``request_cost_names`` chooses among costs of single calls, of which a report out of band has none.
        """
        if self._stream_count >= MAX_STREAMS:
            raise no_place(MAX_STREAMS, "load reports")
        seconds = request.report_interval.ToTimedelta().total_seconds() or DEFAULT_SECONDS
        self._stream_count += 1
        try:
            while not self._is_closed.is_set():
                await context.write(report_of(self._load))
                try:
                    async with asyncio.timeout(max(seconds, MIN_SECONDS)):
                        await self._is_closed.wait()
                except TimeoutError:
                    continue
        finally:
            self._stream_count -= 1
        raise stopping_error()

    def close(self) -> None:
        """End every stream."""
        self._is_closed.set()
