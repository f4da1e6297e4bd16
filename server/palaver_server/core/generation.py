"""A request for an answer, and the events that make the answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique

from palaver_server.core.conversation import Message


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """How to sample. None leaves the choice to the server's settings, then to the model's own defaults."""

    max_output_tokens: int | None = None
    """At least 1. What the context does not leave room for is clamped, and ``Started`` says the effective number."""
    temperature: float | None = None
    """0 (always the likeliest token) to 2."""
    top_p: float | None = None
    """Over 0 to 1."""
    top_k: int | None = None
    """At least 1."""
    min_p: float | None = None
    """0 to 1."""
    presence_penalty: float | None = None
    """-2 to 2."""
    frequency_penalty: float | None = None
    """-2 to 2."""
    repetition_penalty: float | None = None
    """Over 0 to 2; 1 is neutral."""
    stop_sequences: tuple[str, ...] = ()
    """Texts that end the answer and are not part of it."""
    seed: int | None = None
    """Makes sampling repeatable on the same engine."""
    time_limit_seconds: float | None = None
    """So long after admission the answer ends with the text so far and ``FinishReason.TIME_LIMIT``."""
    stops_before_deadline: bool = False
    """End so shortly before the caller's deadline, rather than fail at it."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A conversation to answer, already checked against the contract."""

    request_id: str
    model: str
    """The model that the caller named; empty for the default one."""
    messages: tuple[Message, ...]
    options: GenerationOptions
    is_streamed: bool
    """False where nobody reads before the end: the engine then makes one delta of the whole answer."""
    deadline: float | None = None
    """When the caller gives up, on the event loop's clock; None where it waits for ever."""
    field_prefix: str = ""
    """What stands before a field's path in the caller's own request: ``chat.`` for a streamed call."""


@unique
class FinishReason(Enum):
    """Why an answer ended."""

    STOP = "stop"
    """The model ended its turn, or a stop sequence came."""
    LENGTH = "length"
    """``max_output_tokens`` or the context was used up."""
    TIME_LIMIT = "time_limit"
    """The caller's time limit passed."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call."""

    prompt_token_count: int
    output_token_count: int
    cached_prompt_token_count: int = 0
    """Of the prompt's tokens, those that the engine did not have to compute again."""


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
    """The effective number, after defaults and after clamping to the context."""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer's text."""

    text: str
    token_count: int
    """How many tokens made it; several where the engine was faster than the reader."""
    choice_index: int = 0


@dataclass(frozen=True, slots=True)
class ChoiceEnd:
    """How one of the answers ended."""

    finish_reason: FinishReason
    stop_sequence: str | None = None
    """The stop sequence that ended it, where one did."""
    choice_index: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event."""

    choices: tuple[ChoiceEnd, ...]
    usage: Usage
    timings: Timings


Event = Started | Delta | Finished
