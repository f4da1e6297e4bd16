"""How much of each GPU the engine takes, and how many tokens at a step: what follows from the GPUs alone."""

from __future__ import annotations

from collections.abc import Sequence

from palaver_server.machine.choices import Choices
from palaver_server.machine.gpus import Gpu
from palaver_server.machine.memory import GIB

LARGE_BYTES = 70 * GIB
"""Where vLLM's own defaults for large GPUs begin."""
HUGE_BYTES = 160 * GIB
LARGE_UTILIZATION = 0.95
"""vLLM's recipe for GLM-4.5 on H100: a twentieth of 80 GiB holds what is outside vLLM's own count."""
USUAL_UTILIZATION = 0.92
"""vLLM's default."""
DRIVER_BYTES = GIB // 4
"""Left free beside other programs: the driver takes a little more as soon as a GPU is used."""


def choose_utilization(choices: Choices, gpus: Sequence[Gpu]) -> float:
    """The part of each GPU's memory that the engine may take."""
    total = least_bytes(gpus)
    usual = LARGE_UTILIZATION if total >= LARGE_BYTES else USUAL_UTILIZATION
    if (given := choices.keep_number("gpu-memory-utilization")) is not None:
        return given
    if fixed := next((n for n in ("kv-cache-memory-bytes", "num-gpu-blocks-override") if n in choices.given), None):
        choices.kept.append(fixed)
        return usual
    free = min(gpu.free_bytes if gpu.free_bytes is not None else total for gpu in gpus)
    possible = int(100 * (free - DRIVER_BYTES) / total) / 100
    if possible < usual:
        others = (total - free) / GIB
        return choices.choose_number("gpu-memory-utilization", max(possible, 0.01), f"others hold {others:.1f} GiB")
    reason = (
        "what is outside vLLM's own count needs no more of a large GPU"
        if usual > USUAL_UTILIZATION
        else "vLLM's own value, which leaves room for CUDA's context"
    )
    return choices.choose_number("gpu-memory-utilization", usual, reason)


def choose_batched_tokens(choices: Choices, gpus: Sequence[Gpu]) -> int:
    """Tokens at a step, as vLLM's own defaults by memory have it."""
    if (given := choices.keep_number("max-num-batched-tokens")) is not None:
        return int(given)
    total = least_bytes(gpus)
    if total >= HUGE_BYTES:
        value, reason = 16_384, "vLLM's own value for GPUs of 160 GiB and more"
    elif total >= LARGE_BYTES and "a100" not in gpus[0].name.lower():
        value, reason = 8192, "vLLM's own value for GPUs of 70 GiB and more that are newer than A100"
    else:
        value, reason = 2048, "vLLM's own value for such GPUs"
    pieces = f"{reason}; longer prompts go in pieces, between which others' answers go on"
    return int(choices.choose_number("max-num-batched-tokens", value, pieces))


def least_bytes(gpus: Sequence[Gpu]) -> int:
    """Memory of the smallest."""
    return min(gpu.total_bytes or 0 for gpu in gpus)


def least_capability(gpus: Sequence[Gpu]) -> tuple[int, int]:
    """Compute capability of the oldest."""
    return min(gpu.capability or (0, 0) for gpu in gpus)
