"""How fast something grows, however noisy it is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import sqrt
from statistics import NormalDist, median

from pydantic import BaseModel

CONFIDENCE = 0.95
FEWEST = 5
"""Points below which nothing is said."""


class Slope(BaseModel):
    """Growth for each step of what it was measured over."""

    median: float
    low: float
    high: float
    """A 95 % interval: what grows has its low end above zero."""


def slope_of(points: Sequence[tuple[float, float]]) -> Slope | None:
    """The slope of a line through points: the median over all pairs of them (Theil and Sen); outliers do not move it.

    The interval is Sen's (1968), from the spread of Kendall's statistic. None for too few points to tell.
    """
    count = len(points)
    slopes = sorted((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x2 != x1)
    if count < FEWEST or not slopes:
        return None
    spread = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = max(0, int((len(slopes) - spread) / 2))
    high = min(len(slopes) - 1, int((len(slopes) + spread) / 2))
    return Slope(median=median(slopes), low=slopes[low], high=slopes[high])
