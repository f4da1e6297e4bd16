"""The times between tokens, told to Prometheus by the step of the engine and not by the token."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import Any, cast

from prometheus_client import Histogram
from vllm.v1.metrics.loggers import PrometheusStatLogger
from vllm.v1.metrics.stats import IterationStats, SchedulerStats


class StepStatLogger(PrometheusStatLogger):
    """vLLM's metrics. The tokens of one step have one and the same time between them and those of the step before."""

    def record(
        self,
        scheduler_stats: SchedulerStats | None,
        iteration_stats: IterationStats | None,
        mm_cache_stats: Any = None,
        engine_idx: int = 0,
    ) -> None:
        """Record the outputs of a step; see ``PrometheusStatLogger.record``."""
        latencies: list[float] = []
        if iteration_stats is not None:
            latencies, iteration_stats.inter_token_latencies_iter = iteration_stats.inter_token_latencies_iter, []
        super().record(scheduler_stats, iteration_stats, mm_cache_stats=mm_cache_stats, engine_idx=engine_idx)
        if latencies and iteration_stats is not None:
            observe_all(cast("Histogram", self.histogram_inter_token_latency[engine_idx]), latencies)
            iteration_stats.inter_token_latencies_iter = latencies  # for the loggers after this one


def observe_all(histogram: Histogram, values: Iterable[float]) -> None:
    """Observe each value: as ``Histogram.observe``, which counts one at a time."""
    bounds: list[float] = histogram._upper_bounds  # noqa: SLF001  # here and below: the library has no word for many
    for value, count in Counter(values).items():
        histogram._sum.inc(value * count)  # noqa: SLF001
        histogram._buckets[bisect_left(bounds, value)].inc(count)  # noqa: SLF001
