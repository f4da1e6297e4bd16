"""How long conversations may be, and how many run at once: what the memory beside the weights is spent on."""

from __future__ import annotations

from palaver_server.machine.choices import Choices, power_of_two
from palaver_server.machine.division import SHORTEST_CONTEXT, USUAL_CONVERSATION
from palaver_server.machine.memory import Room
from palaver_server.machine.profile import Choice
from palaver_server.models.shape import ModelShape

LONG_CONVERSATIONS = 4
"""Conversations of the full length that fit at once, so that a long one does not push out everybody else's."""
TOKENS_PER_SEQUENCE = 1024
"""Of the KV cache, for each sequence that may run: at half this, sequences push each other out."""
GRAPH_SEQUENCES = 512
"""The largest batch for which vLLM records CUDA graphs; larger ones run slower a sequence."""


def choose_kv_tokens(
    choices: Choices, room: Room, weights: int, shape: ModelShape, context_length: int | None, *, fp8: bool
) -> int:
    """Tokens that the KV cache holds; of 8 bits each where that is needed and the GPUs compute in them (``fp8``)."""
    if (given := choices.keep("kv-cache-dtype")) is not None:
        return room.kv_tokens(weights, shape, 1 if given.startswith("fp8") else 2)
    tokens = room.kv_tokens(weights, shape)
    wanted = LONG_CONVERSATIONS * min(2 * USUAL_CONVERSATION, context_length or USUAL_CONVERSATION)
    halved = room.kv_tokens(weights, shape, 1)
    if tokens < wanted and fp8 and halved >= SHORTEST_CONTEXT:
        choices.choose(
            "kv-cache-dtype", "fp8", f"{halved:,} tokens fit in place of {tokens:,}; long contexts lose a little"
        )
        return halved
    return tokens


def choose_context(choices: Choices, tokens: int, context_length: int | None) -> None:
    """The longest conversation, where the model's own is too long for so many tokens of KV cache."""
    if choices.keep("max-model-len") is not None:
        return
    if "kv-cache-memory-bytes" in choices.given or "num-gpu-blocks-override" in choices.given:
        return  # the operator has said how large the cache is, and the estimate says nothing about that
    longest = max(SHORTEST_CONTEXT, power_of_two(tokens // LONG_CONVERSATIONS))
    if context_length is not None and longest < context_length:
        choices.choose(
            "max-model-len",
            longest,
            f"of the model's {context_length:,}: the KV cache holds about {tokens:,} tokens, {LONG_CONVERSATIONS} such "
            "conversations",
        )


def choose_sequences(choices: Choices, tokens: int, most: int) -> None:
    """How many answers run at once, in the engine and so in the server."""
    if (given := choices.keep_number("max-num-seqs")) is not None:
        chats = int(given)
    else:
        chats = min(most, max(8, power_of_two(tokens // TOKENS_PER_SEQUENCE)))
        held = "as many as CUDA graphs are recorded for" if most == GRAPH_SEQUENCES else "vLLM's own value"
        few = f"the KV cache holds about {tokens:,} tokens, {TOKENS_PER_SEQUENCE:,} for each"
        choices.choose("max-num-seqs", chats, f"{held}; {few}" if chats == most else few)
    if choices.keep("max-concurrent-requests") is None:
        choices.made.append(Choice("max_concurrent_requests", chats, "the engine runs as many at once", is_ours=True))
