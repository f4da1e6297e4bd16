"""How much faster one group of measurements is than another, and how surely."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

RESAMPLES = 4000
COVERAGE = 0.95


@dataclass(frozen=True, slots=True)
class Gain:
    """A ratio of means, and the interval that holds the true one with a probability of 95 %."""

    ratio: float
    low: float
    high: float
    starts: int
    """Of each of the two; windows of one start share its luck, so more starts say more."""

    @property
    def is_sure(self) -> bool:
        """Whether it is one."""
        return self.low > 1


def gain(before: Sequence[Sequence[float]], after: Sequence[Sequence[float]]) -> Gain | None:
    """Compare, by resampling starts and then the windows of each (a bootstrap in two stages).

    Args:
        before: the windows of each start with the defaults.
        after: those of each start with what was found.
    """
    if not before or not after or not fmean(map(fmean, before)):
        return None
    rng = random.Random(0)  # noqa: S311  # the same figures give the same interval

    def mean(starts: Sequence[Sequence[float]]) -> float:
        return fmean(fmean(rng.choices(start, k=len(start))) for start in rng.choices(starts, k=len(starts)))

    ratios = sorted(above / below for _ in range(RESAMPLES) if (above := mean(after), below := mean(before)) and below)
    edge = int(len(ratios) * (1 - COVERAGE) / 2)
    ratio = fmean(map(fmean, after)) / fmean(map(fmean, before))
    return Gain(ratio, ratios[edge], ratios[-1 - edge], min(len(before), len(after)))
