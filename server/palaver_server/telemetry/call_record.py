"""What is known of a call when it has ended: the one thing that metrics, traces and the audit log are made of.

It is made once a call. Nothing of telemetry runs while tokens are written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

UNKNOWN = "unknown"
"""Service and method of a call to a method that does not exist: callers must not be able to invent label values."""


@dataclass(slots=True)
class AnswerRecord:
    """Of a call that asked for an answer: how far it came. None is what did not happen or is not known."""

    model: str
    is_streamed: bool
    answer_id: str = ""
    """The server's own, unique name for the answer; empty where none began."""
    options: Callable[[], Mapping[str, object]] = dict
    """Gives the sampling options as the caller gave them, by the names of ``core.options.GenerationOptions``."""
    prompt_tokens: int = 0
    """0 until the prompt has been accepted."""
    cached_prompt_tokens: int = 0
    output_tokens: int = 0
    """Of all choices. Of an answer that was broken off, whole or streamed, those that were written by then."""
    reasoning_tokens: int = 0
    finish_reasons: tuple[str, ...] = ()
    """One a choice, in their order; empty for an answer that did not come to its end."""
    admitted_seconds: float | None = None
    """From the call's beginning to its permit: the wait in the queue."""
    prepared_seconds: float | None = None
    """From the call's beginning to a prompt that is rendered, counted and accepted."""
    first_delta_seconds: float | None = None
    """From the call's beginning to the first piece of a streamed answer."""
    delta_count: int = 0
    """Pieces of a streamed answer."""
    unread_seconds: float | None = None
    """How long a streamed answer that was broken off had stood still for a reader who took no message; up to
    a second less than it was."""
    engine_queue_seconds: float | None = None
    """From the engine's taking the request to the start of its work on it."""
    engine_first_token_seconds: float | None = None
    """From the engine's taking the request to its first token."""
    engine_total_seconds: float | None = None
    """From the engine's taking the request to its last token."""

    @property
    def seconds_per_token(self) -> float | None:
        """The mean time between two tokens."""
        first, total = self.engine_first_token_seconds, self.engine_total_seconds
        if first is None or total is None or self.output_tokens < 2:  # noqa: PLR2004  # between two tokens
            return None
        return (total - first) / (self.output_tokens - 1)


@dataclass(slots=True)
class CallRecord:
    """One RPC that has ended."""

    service: str
    """Full name, such as ``palaver.v1.ChatService``; ``UNKNOWN`` for one that does not exist."""
    method: str
    code: str
    """The gRPC code by name, such as ``OK``."""
    code_number: int
    reason: str | None
    """Why it failed, one of ``core.errors.Reason``."""
    request_id: str
    """The caller's own name for the call where it gave one: several calls may have the same."""
    client: str
    """The operator's name for the caller."""
    tier: str | None
    key_id: str | None
    peer: str
    is_transcoded: bool
    began: float
    """Time of day, seconds since 1970."""
    duration_seconds: float
    metadata: Mapping[str, str | bytes]
    """What the caller sent along; for the trace context alone. Holds keys."""
    user_id: str = ""
    """The caller's own name for whom it asks: not for logs unless the operator wants it there."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """The caller's own names for where the call comes from; likewise."""
    answer: AnswerRecord | None = None
    prompt: Callable[[], bytes] | None = None
    """Gives the conversation: a JSON array of ``[role, text]``. For keyed hashes alone."""
    said: Callable[[], bytes] | None = None
    """Gives the answer as far as it came: a JSON array of the choices' texts. Where an observer keeps answers."""
    trace_id: str | None = None
    """Of the sampled span of this call, in hexadecimal; set by who makes the span."""

    @property
    def reader_lag_seconds(self) -> float | None:
        """How far a stream's reader was behind at the end; None where that is not known.

        From the engine's last token to the end of the call, where the answer was whole; else for how long its reader
        had taken nothing.
        """
        if (answer := self.answer) is None or not answer.is_streamed:
            return None
        if answer.prepared_seconds is None or answer.engine_total_seconds is None:
            return answer.unread_seconds
        return max(self.duration_seconds - answer.prepared_seconds - answer.engine_total_seconds, 0.0)


class CallObserver(Protocol):
    """Is told of every call once, when it has ended. Must not block, and must not raise."""

    def call_ended(self, record: CallRecord) -> None:
        """Take note of a call."""
