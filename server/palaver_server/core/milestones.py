"""When a call got how far."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Milestones:
    """Moments of one call, in seconds of ``time.monotonic``; None is what has not been reached."""

    admitted: float | None = None
    """It got its permit."""
    prepared: float | None = None
    """Its prompt was rendered, counted and accepted."""
