"""One tuning within its budget: search, then compare what was found with the defaults, start by start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from palaver_server.tuning.gain import Gain, gain
from palaver_server.tuning.knobs import Candidate, Knob
from palaver_server.tuning.load import Measured
from palaver_server.tuning.search import OutOfTimeError, climb
from palaver_server.tuning.trial import TrialError, Trials

SEARCH_SHARE = 0.6
"""Of the budget. A search picks the luckiest of many trials; what it gained is found out afterwards, with new ones."""
ENOUGH_STARTS = 5
"""Of each side; more make the interval hardly smaller."""


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    best: Candidate = field(default_factory=dict)
    gain: Gain | None = None
    """None where there was no time to compare, or nothing to compare with."""
    is_interrupted: bool = False
    trials: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One trial, told when it ends."""

    number: int
    seconds: float
    """Since the beginning."""
    candidate: Candidate
    is_comparison: bool
    result: Measured | str
    """Or why there is none."""


class Session:
    """Runs once.

    Args:
        trials: tries a candidate.
        knobs: what is turned.
        budget: seconds. No trial is begun that would, as the longest so far, end after it.
        starting: is told of each trial before it begins.
        done: is told of each trial after it.
    """

    def __init__(
        self,
        trials: Trials,
        knobs: Sequence[Knob],
        budget: float,
        *,
        starting: Callable[[Candidate], None],
        done: Callable[[Step], None],
    ) -> None:
        self._trials, self._knobs, self._budget = trials, knobs, budget
        self._starting, self._done = starting, done
        self._began = time.monotonic()
        self._longest = 0.0
        self.outcome = Outcome()

    async def run(self) -> Outcome:
        """Tune. When cancelled, the best so far stands in the outcome.

        Raises:
            TrialError: not even the defaults serve.
        """
        self._began = time.monotonic()
        try:
            await climb(self._knobs, self._score, self._keep)
            if self.outcome.best:
                await self._compare()
        except asyncio.CancelledError:
            self.outcome.is_interrupted = True
        return self.outcome

    async def _score(self, candidate: Candidate) -> float:
        if not self._has_time(self._budget * SEARCH_SHARE):
            raise OutOfTimeError
        is_default = not candidate
        try:
            measured = await self._try(candidate, is_comparison=False)
        except TrialError:
            if is_default:
                raise
            return 0.0  # told already; the search goes another way
        if is_default and not measured.tokens_per_second:
            why = f": {measured.failure}" if measured.failure else "; give a larger --ttft-bound, or fewer --streams"
            raise TrialError(f"with the defaults no answer begins within the bound{why}")
        return measured.tokens_per_second

    def _keep(self, candidate: Candidate) -> None:
        self.outcome.best = dict(candidate)

    async def _compare(self) -> None:
        """By turns, and each time the other one first: a machine that grows warm or busy then troubles both."""
        before: list[tuple[float, ...]] = []
        after: list[tuple[float, ...]] = []
        for round_number in range(ENOUGH_STARTS):
            if not self._has_time(self._budget - self._longest):
                break  # a pair takes two
            pair: list[tuple[Candidate, list[tuple[float, ...]]]] = [({}, before), (self.outcome.best, after)]
            for candidate, windows in pair if round_number % 2 else reversed(pair):
                windows.append((await self._try(candidate, is_comparison=True)).windows)
            self.outcome.gain = gain(before, after)

    async def _try(self, candidate: Candidate, *, is_comparison: bool) -> Measured:
        self._starting(candidate)
        began = time.monotonic()
        self.outcome.trials += 1
        result: Measured | str = "interrupted"
        try:
            result = await self._trials.run(candidate)
        except TrialError as error:
            result = str(error)
            raise
        finally:
            now = time.monotonic()
            self._longest = max(self._longest, now - began)
            if result != "interrupted":
                self._done(Step(self.outcome.trials, now - self._began, candidate, is_comparison, result))
        return result

    def _has_time(self, until: float) -> bool:
        return time.monotonic() - self._began + self._longest <= until
