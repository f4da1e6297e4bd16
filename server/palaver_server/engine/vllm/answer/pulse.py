"""Signs of life of an engine core: it takes part in every step that the engine makes, and counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vllm.v1.metrics.loggers import StatLoggerBase

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.metrics.stats import IterationStats, SchedulerStats


class Pulse:
    """Counts signs of life. Belongs to the event loop that reads the engine's outputs."""

    def __init__(self) -> None:
        self.beats = 0
        self.quiet_since: float | None = None
        """Since when a busy engine has not beaten, on the loop's clock; None for one that does, or is idle."""
        self._kv_cache_usage: dict[int, float] = {}

    @property
    def kv_cache_usage(self) -> float:
        """The part of the KV cache in use, 0 to 1; of several engines, that of the fullest."""
        return max(self._kv_cache_usage.values(), default=0.0)

    def beat(self, engine_index: int, scheduler_stats: SchedulerStats | None) -> None:
        """Take note of a step, or of several that the engine core has bundled."""
        self.beats += 1
        if scheduler_stats is not None:
            self._kv_cache_usage[engine_index] = scheduler_stats.kv_cache_usage

    def logger(self, config: VllmConfig, engine_index: int = 0) -> StatLoggerBase:
        """A statistics logger, which vLLM calls for every step of the engine, those of a long prefill included."""
        return _StepCounter(config, engine_index, self)


class _StepCounter(StatLoggerBase):
    def __init__(self, vllm_config: VllmConfig, engine_index: int, pulse: Pulse) -> None:
        self._pulse = pulse

    def record(
        self,
        scheduler_stats: SchedulerStats | None,
        iteration_stats: IterationStats | None,
        mm_cache_stats: Any = None,
        engine_idx: int = 0,
    ) -> None:
        self._pulse.beat(engine_idx, scheduler_stats)

    def log_engine_initialized(self) -> None:
        pass
