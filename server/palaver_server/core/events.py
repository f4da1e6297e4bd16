"""What an answer is made of: one ``Started``, deltas, one ``Finished``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique

from palaver_server.core.context import ContextTruncation
from palaver_server.core.logprobs import TokenLogprob
from palaver_server.core.options import GenerationOptions
from palaver_server.core.tools import ToolCallDelta


@unique
class FinishReason(Enum):
    """Why an answer ended."""

    STOP = "stop"
    """The model ended its turn, or a stop sequence came."""
    LENGTH = "length"
    """``max_output_tokens`` or the context was used up."""
    TIME_LIMIT = "time_limit"
    """The caller's time limit passed."""
    TOOL_CALLS = "tool_calls"
    """The model ended its turn by calling tools, and waits for their answers."""
    REPETITION = "repetition"
    """The answer repeated itself as the request's ``repetition_detection`` says."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call."""

    prompt_token_count: int
    """They count once, however many choices there are."""
    output_token_count: int
    """Of all choices, thoughts included."""
    cached_prompt_token_count: int = 0
    """Of the prompt's tokens, those that the engine did not have to compute again."""
    reasoning_token_count: int = 0
    """Of the output tokens, those that are thoughts."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one call went, in seconds; None where the engine does not tell."""

    queue_seconds: float | None = None
    """From the engine's taking the request to the start of its work on it."""
    first_token_seconds: float | None = None
    """From the engine's taking the request to its first token."""
    total_seconds: float | None = None
    """From the engine's taking the request to its last token."""


@dataclass(frozen=True, slots=True)
class Started:
    """The first event: the prompt is accepted, nothing is generated yet."""

    prompt_token_count: int
    max_output_tokens: int
    """The effective number for each choice, after defaults and after clamping to the context."""
    truncation: ContextTruncation | None = None
    """What was left out of the conversation to make it fit."""
    effective_options: GenerationOptions | None = None
    """The options in force; where the request asked for them."""
    prompt_text: str = ""
    """What the chat template made of the conversation; where the request asked for it."""
    prompt_token_ids: tuple[int, ...] = ()
    """Where the request asked for token ids."""


@dataclass(slots=True)  # frozen, it would take four times as long to make, and there are thousands a second
class Delta:
    """A piece of one choice. The pieces of one choice come in order, those of several in any mixture."""

    text: str
    token_count: int
    """How many tokens made it; several where the engine was faster than the reader."""
    choice_index: int = 0
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    """Of the tokens since the choice's last delta; where the request asked for them."""
    token_ids: tuple[int, ...] = ()
    """The tokens since the choice's last delta; where the request asked for token ids."""
    usage: Usage | None = None
    """Of the whole call so far; where the request asked for running usage."""
    end: ChoiceEnd | None = None
    """How the choice ended: in its last delta, where the answer has several choices. ``Finished`` says it, too."""


@dataclass(frozen=True, slots=True)
class ChoiceEnd:
    """How one of the answers ended."""

    finish_reason: FinishReason
    stop_sequence: str | None = None
    """The stop sequence that ended it, where one did."""
    choice_index: int = 0
    stop_token_id: int | None = None
    """The stop token that ended it, where one did that is not the model's end-of-sequence token."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event."""

    choices: tuple[ChoiceEnd, ...]
    """In the order of their index."""
    usage: Usage
    timings: Timings
    prompt_logprobs: tuple[TokenLogprob, ...] = ()
    """Where the request asked for them."""


Event = Started | Delta | Finished
