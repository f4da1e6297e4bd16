"""How far a call got, and when."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Milestones:
    """Of one call. Moments are in seconds of ``time.monotonic``; None is what has not been reached."""

    admitted: float | None = None
    """It got its permit."""
    prepared: float | None = None
    """Its prompt was rendered, counted and accepted."""
    unread_seconds: float | None = None
    """How long its reader had taken no event when it was broken off in the midst of handing one on; up to
    ``running.LOOK_SECONDS`` less than it was. None where it ended elsewhere."""
    given_up_token_count: int = 0
    """Tokens that the engine had written of an answer when it was given up, because nobody waits for it any more or its
    time is over. Noted when the engine's generator has ended."""
