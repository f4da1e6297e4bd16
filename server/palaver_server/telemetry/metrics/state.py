"""What is so at this moment, asked when Prometheus asks: nothing is kept up to date in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psutil
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

SERVER, ENGINE, EDGE = "server", "engine", "edge"


@dataclass(frozen=True, slots=True)
class State:
    """One look at the server."""

    running: int
    waiting: int
    max_running: int
    max_waiting: int
    is_ready: bool
    load_phase: str
    load_fraction: float
    load_seconds: float
    model: str
    engine_silent_seconds: float
    """How long a busy engine has given no sign of life; 0 for an idle one."""
    engine_failures: int
    """How often the engine has ended by itself."""
    front_end_pids: frozenset[int] = frozenset()
    """Processes that count as the server's too."""


class StateCollector:
    """Implements prometheus_client's ``Collector``.

    Args:
        look: gives the state; called in the thread of the metrics port.
        load_phases: every phase that there is.
        version: palaver's own.
    """

    def __init__(self, look: Callable[[], State], load_phases: tuple[str, ...], version: str) -> None:
        self._look = look
        self._load_phases = load_phases
        self._version = version

    def describe(self) -> tuple[Metric, ...]:
        """Nothing: asking for names must not look at a server that is only being built."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Look once, and tell."""
        state = self._look()
        yield _gauge("palaver_running_calls", "Calls that hold a permit of the admission.", state.running)
        yield _gauge("palaver_waiting_calls", "Calls that wait for a permit.", state.waiting)
        yield _gauge("palaver_max_running_calls", "Permits that there are.", state.max_running)
        yield _gauge("palaver_max_waiting_calls", "Places in the queue.", state.max_waiting)
        yield _gauge("palaver_ready", "1 while chats are answered.", float(state.is_ready))
        phases = GaugeMetricFamily("palaver_load_phase", "1 for the phase that the load is in.", labels=["phase"])
        for phase in self._load_phases:
            phases.add_metric([phase], float(phase == state.load_phase))
        yield phases
        yield _gauge("palaver_load_progress_ratio", "How far the load has come, 0 to 1.", state.load_fraction)
        yield _gauge("palaver_load_age_seconds", "Since the load began.", state.load_seconds)
        yield _gauge(
            "palaver_engine_silent_seconds",
            "How long a busy engine has given no sign of life.",
            state.engine_silent_seconds,
        )
        yield CounterMetricFamily(
            "palaver_engine_failures",
            "Ends of the engine by itself; the process ends after it.",
            value=state.engine_failures,
        )
        yield InfoMetricFamily(
            "palaver_build", "Version and model.", value={"version": self._version, "model": state.model}
        )
        yield from _memory(state.front_end_pids)


def _memory(front_end_pids: frozenset[int]) -> Iterator[Metric]:
    """Resident memory of the server and of every process that it started."""
    resident = {SERVER: 0, ENGINE: 0, EDGE: 0}
    server = psutil.Process()
    resident[SERVER] = server.memory_info().rss
    for child in server.children(recursive=True):
        try:
            is_server = child.pid in front_end_pids
            kind = SERVER if is_server else EDGE if child.name() == "envoy" else ENGINE
            resident[kind] += child.memory_info().rss
        except psutil.Error:  # it has ended in between
            continue
    family = GaugeMetricFamily(
        "palaver_resident_memory_bytes", "Resident memory of palaver's processes.", labels=["process"]
    )
    for kind, size in resident.items():
        family.add_metric([kind], size)
    yield family


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value)
