"""Log probabilities of tokens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogprobEntry:
    """A token and its log probability."""

    token: str
    """Its text; a piece of a character reads as U+FFFD."""
    raw_bytes: bytes
    """Its bytes in UTF-8; those of neighbours put together are whole characters."""
    token_id: int
    logprob: float | None
    """The natural logarithm of its probability; None for the first token of a prompt, which has none."""
    rank: int | None = None
    """Its place in the order of likelihood, from 1; None where the engine does not say."""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """The token at a place, and what else could have stood there, likeliest first."""

    chosen: LogprobEntry
    alternatives: tuple[LogprobEntry, ...] = ()
