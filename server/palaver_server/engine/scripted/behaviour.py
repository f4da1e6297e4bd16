"""What a scripted engine does: how much it says, how fast, and what goes wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

from palaver_server.engine.scripted.script import ScriptError, parse

DEFAULT_CONTEXT_LENGTH = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedBehaviour:
    """The script. Without arguments: repeat the last user message, at once, with no fault.

    A fault happens when an answer has so many tokens, before its end is told, and with 0 before its first token; an
    answer that ends with fewer tokens has no fault. Where two faults meet, dying wins over failing over hanging.

    Raises:
        ValueError: a value is out of its range; the message names it.
    """

    tokens: int | None = None
    """Words to write, at least 0, instead of repeating the last user message (None)."""
    answer: str | None = None
    """What is said instead of the last user message (None): a text, or a script (see ``script``). Not with tokens."""
    first_seconds: float = 0.0
    """From a call's beginning to its first token, in seconds, at least 0."""
    interval_seconds: float = 0.0
    """Between two tokens, in seconds, at least 0. With 0 the engine is as fast as its reader."""
    load_seconds: float = 0.0
    """How long the load takes, in seconds, at least 0."""
    context_length: int = DEFAULT_CONTEXT_LENGTH
    """Prompt and output tokens together, at least 1."""
    kv_cache_tokens: int | None = None
    """What the KV cache holds, at least 1; running answers hold their prompt and what they have written. It refuses
    nobody: it is there to be reported. None means there is none."""
    fail_after_tokens: int | None = None
    """The answer fails with ``GENERATION_FAILED``; the engine lives on. At least 0; None means never."""
    hang_after_tokens: int | None = None
    """The answer stands still until it is cancelled or its time limit passes. At least 0; None means never."""
    die_after_tokens: int | None = None
    """The engine dies, and all its answers end with ``ENGINE_UNAVAILABLE``. At least 0; None means never."""
    load_error: str | None = None
    """Ends the load, after ``load_seconds``, with an ``EngineStartError`` of this message; None means a good load."""

    def __post_init__(self) -> None:
        for name in ("first_seconds", "interval_seconds", "load_seconds"):
            seconds = getattr(self, name)
            if not 0 <= seconds < math.inf:
                raise ValueError(f"{name} must be a number of seconds from 0 up, not {seconds}.")
        for name in ("tokens", "fail_after_tokens", "hang_after_tokens", "die_after_tokens"):
            count = getattr(self, name)
            if count is not None and count < 0:
                raise ValueError(f"{name} must be at least 0, not {count}.")
        for name in ("context_length", "kv_cache_tokens"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise ValueError(f"{name} must be at least 1, not {count}.")
        if self.answer is not None and self.tokens is not None:
            raise ValueError("answer and tokens: only one of them can be said.")
        if self.answer is not None:
            try:
                parse(self.answer)
            except ScriptError as error:
                raise ValueError(f"answer: {error}.") from None
