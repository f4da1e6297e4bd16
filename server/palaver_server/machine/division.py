"""Over how many GPUs the weights go, and whether they are quantised for it."""

from __future__ import annotations

from collections.abc import Sequence

from palaver_server.machine.choices import Choices
from palaver_server.machine.memory import GIB, Room, ServedModel
from palaver_server.models.shape import ModelShape

USUAL_CONVERSATION = 4096
"""Tokens of a conversation for which room is counted; most are shorter."""
WANTED_CONVERSATIONS = 64
"""Conversations of that length that the KV cache should hold: as many as palaver admits where nothing is known."""
SHORTEST_CONTEXT = 2048


def possible_ways(choices: Choices, ways: Sequence[int], gpu_count: int, shape: ModelShape) -> list[int]:
    """Numbers of GPUs that may share each layer, rising."""
    if (given := choices.keep_number("tensor-parallel-size")) is not None:
        return [int(given)]
    # GPUs that the operator gives to other kinds of parallelism are taken already.
    others = 1
    for name in ("pipeline-parallel-size", "data-parallel-size"):
        others *= int(choices.number(name) or 1)
    return [w for w in ways if w * others <= gpu_count and shape.can_be_divided(w)] or [1]


def choose_weight_bytes(choices: Choices, model: ServedModel, shape: ModelShape, largest: Room, *, fp8: bool) -> int:
    """The weights as they are served; quantised at load where they do not fit otherwise.

    Args:
        choices: where it is written down.
        model: what is served.
        shape: its own.
        largest: all GPUs that may share it.
        fp8: whether they compute in 8 bits.
    """
    weights = model.weight_bytes
    if (given := choices.keep("quantization")) is not None:
        return weights // 2 if given.startswith("fp8") and model.quantization is None else weights
    halved = weights * 11 // 20  # embeddings and norms stay as they are
    if (
        model.quantization is None
        and fp8
        and largest.kv_tokens(weights, shape) < SHORTEST_CONTEXT <= largest.kv_tokens(halved, shape)
    ):
        choices.choose(
            "quantization",
            "fp8",
            f"the weights of {weights / GIB:.0f} GiB do not fit, and do at 8 bits; answers differ a little",
        )
        return halved
    return weights


def choose_ways(
    choices: Choices, rooms: Sequence[Room], weights: int, shape: ModelShape, context_length: int | None
) -> Room:
    """The fewest GPUs that hold the weights and enough conversations; all where none is enough."""
    wanted = WANTED_CONVERSATIONS * min(USUAL_CONVERSATION, context_length or USUAL_CONVERSATION)
    room = next((room for room in rooms if room.kv_tokens(weights, shape) >= wanted), rooms[-1])
    if (len(rooms) > 1 or room.ways > 1) and "tensor-parallel-size" not in choices.given:
        what = f"the weights ({weights / GIB:.1f} GiB) and {WANTED_CONVERSATIONS} conversations of 4,096 tokens"
        enough = room.kv_tokens(weights, shape) >= wanted
        reason = f"the fewest that hold {what}" if enough else f"all that work together, as {what} want more"
        choices.choose("tensor-parallel-size", room.ways, reason)
    return room


def tell_of_idle(choices: Choices, gpu_count: int, ways: int) -> None:
    """Say what would use the GPUs that are left."""
    if "data-parallel-size" in choices.given or "pipeline-parallel-size" in choices.given:
        return
    if (idle := gpu_count - ways) >= ways:
        each = "GPU" if ways == 1 else f"{ways} GPUs"
        choices.notes.append(
            f"{idle} of {gpu_count} GPUs stay idle: --data-parallel-size {gpu_count // ways} runs the "
            f"model once for each {each}."
        )
