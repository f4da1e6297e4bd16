"""Who may use the engine now, who waits, and who is told to come back later.

A permit is held as long as a call lives. Up to ``max_concurrent`` permits exist; up to ``max_queued`` callers wait for
one, first come first served; everybody else is refused at once with the time to wait.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from palaver_server.core.errors import PalaverError, Reason

FIRST_GUESS_SECONDS = 1.0
"""How long a call is taken to last before any has ended."""
MIN_RETRY_SECONDS = 0.1
MAX_RETRY_SECONDS = 60.0
"""A longer promise would be worth nothing: the load will have changed."""
SMOOTHING = 0.2
"""Weight of the newest call in the running mean of call durations."""


class Admission:
    """Bounded room and a bounded queue in front of the engine.

    Belongs to one event loop; no method blocks.
    """

    def __init__(self, *, max_concurrent: int, max_queued: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_concurrent = max_concurrent
        self._max_queued = max_queued
        self._clock = clock
        self._started_at: dict[object, float] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._handed_over = 0  # permits given to a waiter that has not run yet
        self._typical_seconds: float | None = None
        self._promised_until = 0.0

    @property
    def max_concurrent(self) -> int:
        """Permits that there are."""
        return self._max_concurrent

    @property
    def running_count(self) -> int:
        """Permits in use."""
        return len(self._started_at) + self._handed_over

    @property
    def waiting_count(self) -> int:
        """Callers in the queue."""
        return len(self._waiters)

    def __repr__(self) -> str:
        running = f"{self.running_count}/{self._max_concurrent}"
        return f"Admission(running={running}, waiting={self.waiting_count}/{self._max_queued})"

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[None]:
        """Hold one permit for the body's time, waiting for it in the queue if need be.

        Raises:
            PalaverError: ``SERVER_OVERLOADED`` at once when the queue is full.
        """
        await self._enter()
        token = object()
        began = self._started_at[token] = self._clock()
        try:
            yield
        finally:
            del self._started_at[token]
            self._learn(self._clock() - began)
            self._wake_next()

    async def _enter(self) -> None:
        if self.running_count < self._max_concurrent and not self._waiters:
            return
        if len(self._waiters) >= self._max_queued:
            raise PalaverError(
                Reason.SERVER_OVERLOADED,
                f"The server is full: {self._max_concurrent} calls are running and {len(self._waiters)} are waiting. "
                "Try again after the time given.",
                retry_after_seconds=self._promise(),
            )
        turn = asyncio.get_running_loop().create_future()
        self._waiters.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the permit came in the same instant: pass it on
                self._handed_over -= 1
                self._wake_next()
            elif turn in self._waiters:  # else a waking up has passed it over already
                self._waiters.remove(turn)
            raise
        self._handed_over -= 1

    def _wake_next(self) -> None:
        while self._waiters and self.running_count < self._max_concurrent:
            turn = self._waiters.popleft()
            if not turn.done():
                self._handed_over += 1
                turn.set_result(None)

    def _learn(self, seconds: float) -> None:
        if self._typical_seconds is None:
            self._typical_seconds = seconds
        else:
            self._typical_seconds += SMOOTHING * (seconds - self._typical_seconds)

    def _promise(self) -> float:
        """Seconds until the caller may expect room.

        Each refused caller gets a later time than the one before, one call's share of the throughput apart, so that
        those who do as they are told do not come back as a crowd. Who cannot be promised a place within
        ``MAX_RETRY_SECONDS`` gets a random time in its second half, and a better answer then.
        """
        now = self._clock()
        typical = FIRST_GUESS_SECONDS if self._typical_seconds is None else self._typical_seconds
        oldest_age = 0.0
        if self._started_at:  # calls that run longer than those before them correct the estimate
            typical = max(typical, now - sum(self._started_at.values()) / len(self._started_at))
            oldest_age = now - next(iter(self._started_at.values()))
        share = typical / self._max_concurrent
        soonest = now + max(typical - oldest_age, 0.0) + share * len(self._waiters)
        promised = max(self._promised_until, soonest, now + MIN_RETRY_SECONDS) + share
        if promised > now + MAX_RETRY_SECONDS:
            return random.uniform(MAX_RETRY_SECONDS / 2, MAX_RETRY_SECONDS)  # noqa: S311 -- spreads, hides nothing
        self._promised_until = promised
        return promised - now
