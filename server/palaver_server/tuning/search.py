"""What to try next: one knob after another, uphill, from the defaults (coordinate descent).

A trial takes a server's start, so a search has some ten of them, over three or four knobs whose best values depend
little on each other; there, one knob at a time finds what a model of the whole space would, and each step can be told
in a line. Libraries for the search in large spaces (Optuna, with a data base and its migrations; scikit-optimize, with
SciPy) would bring tens of packages for these forty lines.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from palaver_server.tuning.knobs import Candidate, Knob, Value

BETTER = 1.02
"""A step has to gain this much: less is noise, and its reason would be none."""

Score = Callable[[Candidate], Awaitable[float]]
"""Tries a candidate; raises OutOfTimeError where no time is left for it."""


class OutOfTimeError(Exception):
    """No further trial may begin."""


async def climb(knobs: Sequence[Knob], score: Score, keep: Callable[[Candidate], None]) -> None:
    """Search until no step of any knob is better, or no time is left.

    Args:
        knobs: in the order in which they are turned.
        score: higher is better.
        keep: is told each candidate that is better than all before.
    """
    climber = _Climber(score, keep)
    with suppress(OutOfTimeError):
        await climber.begin()
        while any([await climber.turn(knob) for knob in knobs]):  # what was tried is remembered, not tried again
            pass


class _Climber:
    def __init__(self, score: Score, keep: Callable[[Candidate], None]) -> None:
        self._score, self._keep = score, keep
        self._best: Candidate = {}
        self._highest = 0.0
        self._tried: dict[tuple[tuple[str, Value], ...], float] = {}

    async def begin(self) -> None:
        """Try the defaults."""
        self._highest = await self._look({})

    async def turn(self, knob: Knob) -> bool:
        """Turn up as long as it gains, else down; tell whether either did."""
        return await self._walk(knob, 1) or await self._walk(knob, -1)

    async def _walk(self, knob: Knob, direction: int) -> bool:
        has_gained = False
        while (value := knob.neighbour(self._best.get(knob.name, knob.start), direction)) is not None:
            candidate = _turned(self._best, knob, value)
            found = await self._look(candidate)
            if found <= self._highest * BETTER:
                break
            self._best, self._highest, has_gained = candidate, found, True
            self._keep(candidate)
        return has_gained

    async def _look(self, candidate: Candidate) -> float:
        key = tuple(sorted(candidate.items()))
        if key not in self._tried:
            self._tried[key] = await self._score(candidate)
        return self._tried[key]


def _turned(candidate: Candidate, knob: Knob, value: Value) -> dict[str, Value]:
    names = {knob.name, *([knob.also] if knob.also else [])}
    others = {name: other for name, other in candidate.items() if name not in names}
    return others if value == knob.start else others | dict.fromkeys(names, value)
