"""What happens to a conversation that is longer than the model's context."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique


@unique
class ContextOverflow(Enum):
    """What to do with a prompt that is too long."""

    REJECT = "reject"
    DROP_OLDEST = "drop oldest"
    """Leave out the oldest turns, whole; system messages and the last turn stay, an answer goes with its call."""
    TRUNCATE_START = "truncate start"
    """Cut off the prompt's first tokens, whatever they are."""
    TRUNCATE_END = "truncate end"
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

    dropped_message_count: int
    dropped_token_count: int
    """Tokens of the prompt, those of the messages included."""
