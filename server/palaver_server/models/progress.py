"""How far a fetch or a verification has come, as it is told to whoever waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, unique
from typing import Literal


@unique
class Phase(Enum):
    """The steps of a pull, in their order; a verification is CHECK alone."""

    WAIT = "wait"
    """Another process fetches the same model."""
    REPAIR = "repair"
    """A file was found damaged; everything is fetched again."""
    FETCH = "fetch"
    EXTRACT = "extract"
    CONVERT = "convert"
    CHECK = "check"


PHASE_SPANS: dict[Phase, tuple[float, float]] = {
    Phase.WAIT: (0.0, 0.0),
    Phase.REPAIR: (0.0, 0.0),
    Phase.FETCH: (0.0, 0.25),
    Phase.EXTRACT: (0.25, 0.3),
    Phase.CONVERT: (0.3, 0.95),
    Phase.CHECK: (0.95, 1.0),
}
"""Each phase's share of a whole pull. Measured on two cores with a fast network: 3 s, 1 s, 28 s, 1 s; a slow network
makes the first one longer, so it has more than its share."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One report. Reports come at least every second while work goes on, also when nothing has moved."""

    phase: Phase
    text: str
    """What is being done, a few words for people. Holds no paths and no secrets."""
    done: int = 0
    total: int | None = None
    """None while the end is unknown."""
    unit: Literal["bytes", "steps"] = "bytes"

    @property
    def fraction(self) -> float:
        """How far this phase has come, 0 to 1."""
        return min(self.done / self.total, 1.0) if self.total else 0.0

    @property
    def pull_fraction(self) -> float:
        """How far a whole pull has come, 0 to 1; an estimate."""
        begin, end = PHASE_SPANS[self.phase]
        return begin + (end - begin) * self.fraction


OnProgress = Callable[[Progress], None]
"""Is called in the thread that does the work. An exception that it raises ends the work cleanly: that is how a caller
cancels."""


def ignore(_progress: Progress) -> None:
    """For callers who only want the result."""
