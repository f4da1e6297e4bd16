"""What happens to a conversation that is longer than the model's context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, unique

from palaver_server.core.conversation import Message, Role


@unique
class ContextOverflow(StrEnum):
    """What to do with a prompt that is too long. The values are those of the setting."""

    REJECT = "reject"
    DROP_OLDEST = "drop-oldest"
    """Leave out the oldest turns, whole; system messages and the last turn stay, an answer goes with its call."""
    TRUNCATE_START = "truncate-start"
    """Cut off the prompt's first tokens, whatever they are."""
    TRUNCATE_END = "truncate-end"
    """Cut off the prompt's last tokens, whatever they are."""


@dataclass(frozen=True, slots=True)
class ContextPolicy:
    """What a request says about its length. None leaves it to the server's setting."""

    overflow: ContextOverflow | None = None
    max_prompt_tokens: int | None = None
    """The longest prompt that is not too long; None: the context less ``reserved_output_tokens``."""
    reserved_output_tokens: int | None = None
    """What the prompt leaves free for the answer; None: 1."""


@dataclass(frozen=True, slots=True)
class ContextTruncation:
    """What was left out of a conversation to make it fit."""

    dropped_token_count: int
    """Tokens of the prompt, those of the messages included."""
    dropped_messages: tuple[int, ...] = ()
    """The places of those that were left out, in rising order."""


def droppable_turns(messages: Sequence[Message]) -> list[tuple[int, ...]]:
    """The turns that may be left out of a conversation, oldest first, each by the places of its messages.

    A turn is a user's message and all that follows up to the next one. System messages belong to none. Turns between a
    call and its answer are one. The last turn is what is to be answered, and is not among them.
    """
    turns: list[list[int]] = []
    turn_of_call: dict[str, int] = {}
    for place, message in enumerate(messages):
        if message.role is Role.SYSTEM:
            continue
        if message.role is Role.USER or not turns:
            turns.append([])
        called_in = turn_of_call.get(message.tool_call_id) if message.role is Role.TOOL else None
        if called_in is not None and called_in < len(turns) - 1:
            turns[called_in:] = [[one for turn in turns[called_in:] for one in turn]]
            turn_of_call = {call_id: min(turn, called_in) for call_id, turn in turn_of_call.items()}
        turns[-1].append(place)
        turn_of_call |= dict.fromkeys((call.id for call in message.tool_calls), len(turns) - 1)
    return [tuple(turn) for turn in turns[:-1]]
