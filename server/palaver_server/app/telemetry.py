"""Wires what operators see: who is told of calls, and where Prometheus asks."""

from __future__ import annotations

import asyncio
import errno
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import CollectorRegistry, disable_created_metrics

from palaver_server import __version__
from palaver_server.app.front_ends.crew import Crew
from palaver_server.core.admission import Admission
from palaver_server.core.engine import Engine
from palaver_server.core.loading import Loading
from palaver_server.core.model import LoadPhase
from palaver_server.core.readiness import NotReady, Readiness
from palaver_server.rpc.listener import ListenError
from palaver_server.settings import DEFAULT_METRICS_LISTEN, Settings, SettingsError
from palaver_server.telemetry.access_log import AccessLog
from palaver_server.telemetry.audit.log import AuditLog
from palaver_server.telemetry.call_record import CallObserver
from palaver_server.telemetry.content_log import ContentLog
from palaver_server.telemetry.metrics.calls import CallMetrics
from palaver_server.telemetry.metrics.decisions import DecisionMetrics
from palaver_server.telemetry.metrics.merged import AllProcesses, ThisProcess, to_plain
from palaver_server.telemetry.metrics.port import MetricsPort
from palaver_server.telemetry.metrics.state import State, StateCollector

if TYPE_CHECKING:
    from palaver_server.telemetry.traces import CallTracer

log = structlog.get_logger("palaver.app")


class Telemetry:
    """Everything that is told of calls. Belongs to one event loop.

    Args:
        settings: what is on.
        crew: the other front ends, whose figures are told with this one's.
        has_port: whether Prometheus asks this process; another front end is asked by the one that has the port.
    """

    def __init__(self, settings: Settings, *, crew: Crew, has_port: bool = True) -> None:
        self._settings = settings
        self._crew = crew
        self._registry = CollectorRegistry()
        self._port: MetricsPort | None = None
        self.decisions: DecisionMetrics | None = None
        self.observers: list[CallObserver] = []
        self.metrics_address = ""
        """Where Prometheus asks, once it can."""
        if settings.metrics_listen != "":
            # Else each counter has a second series beside it, with the moment of its beginning.
            disable_created_metrics()  # type: ignore[no-untyped-call]
            self.decisions = DecisionMetrics(self._registry)
            self.observers.append(CallMetrics(self._registry))
            if has_port:
                self._port = MetricsPort(AllProcesses(ThisProcess(self._registry), crew.figures))

        self._audit: AuditLog | None = None
        if settings.audit_dir is not None:
            self._audit = AuditLog(
                settings.audit_dir.expanduser().absolute(),
                max_file_bytes=settings.audit_file_bytes,
                retention_days=settings.audit_retention_days,
            )
            self.observers.append(self._audit)
            self._registry.register(self._audit)
        self._tracer: CallTracer | None = None
        if settings.otlp_endpoint is not None:
            try:
                from palaver_server.telemetry.traces import CallTracer  # noqa: PLC0415  # nobody else pays for it
            except ImportError as error:
                # xds-protos brings old copies of the same files, and whichever is installed last wins.
                raise SettingsError(
                    "otlp_endpoint: OpenTelemetry's messages are damaged by another package; mend them with "
                    "`pip install --force-reinstall --no-deps opentelemetry-proto`."
                ) from error

            self._tracer = CallTracer(settings.otlp_endpoint, settings.trace_sample_ratio, __version__)
            self.observers.insert(0, self._tracer)  # first: it gives the others the trace's id
        self.observers.append(AccessLog(has_user_ids=settings.log_user_ids))
        self._content: ContentLog | None = None
        if settings.log_content:
            self._content = _content_log(settings.log_content_region)
            self.observers.append(self._content)

    @property
    def keeps_answers(self) -> bool:
        """Whether answers are looked at when they are whole."""
        return self._audit is not None or self._content is not None

    def figures(self) -> list[Any]:
        """What there is for Prometheus, for the front end that has the port. Called in a thread."""
        return to_plain(ThisProcess(self._registry))

    def watch(self, admission: Admission, readiness: Readiness, loading: Loading, engine: Engine) -> None:
        """Tell the state of these whenever Prometheus asks."""
        settings = self._settings

        def look() -> State:
            progress = loading.progress
            return State(
                running=admission.running_count,
                waiting=admission.waiting_count,
                max_running=settings.max_concurrent_requests,
                max_waiting=settings.max_queued_requests,
                is_ready=readiness.is_ready,
                load_phase=progress.phase.name.lower(),
                load_fraction=progress.fraction,
                load_seconds=loading.elapsed_seconds,
                model=engine.description.model_id,
                engine_silent_seconds=engine.silent_seconds,
                front_end_pids=self._crew.pids,
                engine_failures=int(NotReady.ENGINE_FAILED in readiness),
            )

        self._registry.register(StateCollector(look, tuple(phase.name.lower() for phase in LoadPhase), __version__))

    async def start(self) -> None:
        """Open the metrics port.

        Raises:
            ListenError: it cannot be bound.
            SettingsError: the address is none.
        """
        if self._port is None:
            return
        given = self._settings.metrics_listen
        listen = DEFAULT_METRICS_LISTEN if given is None else given
        try:
            self.metrics_address = self._port.start(listen)
        except ValueError as error:
            raise SettingsError(f"metrics_listen: {listen!r} is no IP:PORT, such as 127.0.0.1:9464.") from error
        except OSError as error:
            if given is None and error.errno == errno.EADDRINUSE:
                log.warning("no metrics: another process has the port; choose one with --metrics-listen", port=listen)
                return
            raise ListenError(
                f"cannot listen on {listen} for metrics: {error.strerror}. Choose another address with "
                "--metrics-listen, or none with --metrics-listen ''."
            ) from error
        log.info("metrics port", address=self.metrics_address)

    async def stop(self) -> None:
        """Send the last spans, close the metrics port, and the audit log when its last record is written."""
        if self._tracer is not None:
            await asyncio.to_thread(self._tracer.stop)
        if self._port is not None:
            await asyncio.to_thread(self._port.stop)
        if self._audit is not None:
            await asyncio.to_thread(self._audit.close)
            self._audit = None
        if self._content is not None:
            await asyncio.to_thread(self._content.close)
            self._content = None


def _content_log(region: str | None) -> ContentLog:
    # The numbering plans of all countries: a few megabytes that only this pays for.
    from palaver_server.telemetry.redaction import is_region, redacted  # noqa: PLC0415

    if region is not None and not is_region(region):
        raise SettingsError(f"log_content_region: {region!r} is no country's code, such as US or DE.")
    return ContentLog(partial(redacted, region=region))
