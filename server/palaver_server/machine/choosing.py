"""Chooses a start profile: one decision after another, each with what the ones before it leave.

What the operator has set stays, and the other values are chosen beside it. Sources: vLLM 0.32 (``engine/arg_utils.py``
for its own defaults by memory, ``platforms/cuda.py`` for number formats by capability), its guide to optimization, and
its recipe for GLM-4.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from palaver_server.machine.capacity import GRAPH_SEQUENCES, choose_context, choose_kv_tokens, choose_sequences
from palaver_server.machine.choices import Choices
from palaver_server.machine.division import (
    SHORTEST_CONTEXT,
    choose_ways,
    choose_weight_bytes,
    possible_ways,
    tell_of_idle,
)
from palaver_server.machine.gpus import Gpu
from palaver_server.machine.memory import GIB, Room, ServedModel
from palaver_server.machine.profile import StartProfile
from palaver_server.machine.share import (
    LARGE_BYTES,
    choose_batched_tokens,
    choose_utilization,
    least_bytes,
    least_capability,
)
from palaver_server.models.shape import ModelShape

AMPERE, ADA = (8, 0), (8, 9)
"""The first capabilities that compute in bfloat16, and in FP8 (CUDA programming guide, arithmetic instructions)."""
OLDEST = (7, 5)
"""vLLM 0.32 is built for Turing and newer."""
TIGHT_BYTES = 2 * GIB
"""Where less is left for the KV cache, the GiB of CUDA graphs is worth more as room for conversations."""
USUAL_SEQUENCES = 256
"""vLLM's own default for most GPUs."""


def choose(gpus: Sequence[Gpu], ways: Sequence[int], model: ServedModel, given: Mapping[str, str]) -> StartProfile:
    """Choose for GPUs that are alike.

    Args:
        gpus: at least one, whose memory and capability are known.
        ways: sizes of tensor parallelism to choose from, rising.
        model: what is served.
        given: vLLM's arguments that the operator has set, by name; ``max-concurrent-requests`` among them.
    """
    choices = Choices(given)
    trouble = _decide(choices, gpus, ways, model)
    count = f"{len(gpus)} x " if len(gpus) > 1 else ""
    return StartProfile(
        machine=f"{count}{gpus[0].name} of {least_bytes(gpus) / GIB:.0f} GiB",
        choices=tuple(choices.made),
        kept=tuple(choices.kept),
        notes=tuple(choices.notes),
        trouble=trouble,
    )


def _decide(choices: Choices, gpus: Sequence[Gpu], ways: Sequence[int], model: ServedModel) -> str:
    """Choose; return what is in the way."""
    capability = least_capability(gpus)
    if capability < OLDEST:
        spoken = ".".join(map(str, capability))
        return f"its compute capability is {spoken}, and vLLM needs {'.'.join(map(str, OLDEST))} or newer"
    if capability < AMPERE:
        choices.choose("dtype", "float16", "these GPUs do not compute in bfloat16")
    share = Room(
        gpu_bytes=least_bytes(gpus),
        ways=1,
        utilization=choose_utilization(choices, gpus),
        batched_tokens=choose_batched_tokens(choices, gpus),
        sequences=GRAPH_SEQUENCES if least_bytes(gpus) >= LARGE_BYTES else USUAL_SEQUENCES,
        has_graphs="enforce-eager" not in choices.given,
    )
    if model.shape is None:
        choices.notes.append(
            "What the model's configuration says does not suffice to count its memory; the rest is left to vLLM."
        )
        return ""
    rooms = [replace(share, ways=count) for count in possible_ways(choices, ways, len(gpus), model.shape)]
    return _fit(choices, rooms, model, model.shape, gpu_count=len(gpus), fp8=capability >= ADA)


def _fit(
    choices: Choices, rooms: Sequence[Room], model: ServedModel, shape: ModelShape, *, gpu_count: int, fp8: bool
) -> str:
    """Choose what depends on the model; return what is in the way."""
    weights = choose_weight_bytes(choices, model, shape, rooms[-1], fp8=fp8)
    room = choose_ways(choices, rooms, weights, shape, model.context_length)
    if room.kv_tokens(weights, shape) and room.left_bytes(weights, shape) < TIGHT_BYTES:
        choices.choose("enforce-eager", True, "little is left beside the weights: a GiB more for conversations")
        room = replace(room, has_graphs=False)
    tokens = choose_kv_tokens(choices, room, weights, shape, model.context_length, fp8=fp8)
    if tokens < SHORTEST_CONTEXT:
        working = int(room.gpu_bytes * room.utilization) - room.left_bytes(weights, shape) - weights // room.ways
        needed = weights + working * room.ways + SHORTEST_CONTEXT * shape.kv_bytes_per_token()
        return (
            f"{model.name} needs about {needed / GIB / room.utilization:.0f} GiB, and "
            f"{room.ways * room.gpu_bytes / GIB:.0f} are here"
        )
    choose_context(choices, tokens, model.context_length)
    choose_sequences(choices, tokens, room.sequences)
    tell_of_idle(choices, gpu_count, room.ways)
    return ""
