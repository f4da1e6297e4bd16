"""What is tuned, and the values that are tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import psutil

from palaver_server.machine.fitting import given_arguments
from palaver_server.machine.profile import StartProfile
from palaver_server.machine.share import USUAL_UTILIZATION
from palaver_server.settings import Settings

Value: TypeAlias = int | float
Candidate: TypeAlias = Mapping[str, Value]
"""Values by knob; a knob that is not there has the server's own default."""

COALESCING = (0.0, 0.02, 0.05, 0.1, 0.2)
"""Seconds."""
UTILIZATIONS = (0.85, 0.9, 0.92, 0.95)
"""Beyond, too little is left for what vLLM does not count."""
CPU_MEMORY_SHARE = 0.5
"""Of what is free, at most, for a KV cache without a GPU."""
VLLM_BATCHED_TOKENS = 2048
VLLM_SEQUENCES = 256
"""vLLM's own defaults for most machines, where no profile says otherwise."""


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting and the values that it may take, rising."""

    name: str
    ladder: tuple[Value, ...]
    start: Value
    """The default; it need not be on the ladder."""
    is_vllm: bool
    also: str | None = None
    """A setting that gets the same value: the one without the other would do nothing."""

    def neighbour(self, value: Value, direction: int) -> Value | None:
        """The next value up (1) or down (-1) the ladder; None at its end."""
        beyond = [step for step in self.ladder if (step - value) * direction > 0]
        if not beyond:
            return None
        return min(beyond) if direction > 0 else max(beyond)


def knobs_for(settings: Settings, vllm_arguments: tuple[str, ...], profile: StartProfile | None) -> tuple[Knob, ...]:
    """The knobs of this engine, most telling first. What the operator has set by hand is none."""
    given = given_arguments(settings, vllm_arguments)
    room = settings.max_concurrent_requests if profile is None else _chosen(profile, "max_concurrent_requests", 64)
    if settings.engine == "scripted":
        knobs = [Knob("max_concurrent_requests", _powers(8, 1024), room, is_vllm=False)]
    else:
        sequences = _chosen(profile, "max-num-seqs", VLLM_SEQUENCES)
        batched = _chosen(profile, "max-num-batched-tokens", VLLM_BATCHED_TOKENS)
        with_calls = None if "max-concurrent-requests" in given else "max_concurrent_requests"
        knobs = [
            Knob("max-num-batched-tokens", _powers(512, 32_768), batched, is_vllm=True),
            Knob("max-num-seqs", _powers(8, 1024), sequences, is_vllm=True, also=with_calls),
            _memory(profile),
            Knob("coalescing_delay", COALESCING, settings.coalescing_delay, is_vllm=False),
        ]
    by_hand = given.keys() | {name for name in settings.model_fields_set if name != "vllm"}
    return tuple(knob for knob in knobs if knob.name not in by_hand and knob.name.replace("_", "-") not in by_hand)


def _memory(profile: StartProfile | None) -> Knob:
    if profile is not None and (utilization := profile.value("gpu-memory-utilization")) is not None:
        most = float(utilization)  # what others hold of the GPU is not to be had
        limit = UTILIZATIONS[-1] if most >= USUAL_UTILIZATION else most
        steps = tuple(step for step in UTILIZATIONS if step <= limit)
        return Knob("gpu-memory-utilization", steps, most, is_vllm=True)
    ladder = _powers(2**28, max(2**28, int(psutil.virtual_memory().available * CPU_MEMORY_SHARE)))
    return Knob("kv-cache-memory-bytes", ladder, ladder[0], is_vllm=True)


def _chosen(profile: StartProfile | None, name: str, otherwise: int) -> int:
    value = profile.value(name) if profile is not None else None
    return otherwise if value is None else int(value)


def _powers(least: int, most: int) -> tuple[int, ...]:
    """Powers of two from one bound to the other."""
    return tuple(2**power for power in range(least.bit_length() - 1, most.bit_length()))
