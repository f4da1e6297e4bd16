"""The arithmetic of a rate: a bucket of N tokens that gains N a minute, exactly, in whole numbers."""

from __future__ import annotations

from dataclasses import dataclass

MINUTE_NS = 60_000_000_000
"""Also the price of a token: each nanosecond brings ``per_minute`` units, so nothing is ever rounded."""
MIN_PROMISES = 10
"""So many refused callers at least get times of their own, also where the rate is a few a minute."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What came of asking for a token."""

    is_allowed: bool
    limit: int
    """Tokens a minute, and the most that can be saved up."""
    remaining: int
    """Whole tokens left."""
    reset_seconds: float
    """Until the bucket is full again."""
    retry_after_seconds: float = 0.0
    """When refused: until a token is there for this caller."""


class TokenBucket:
    """Allows bursts of up to ``per_minute`` calls, then one every 60 / ``per_minute`` seconds.

    Times are nanoseconds of one monotonic clock.
    """

    __slots__ = ("_per_minute", "_promised", "_units", "_updated")

    def __init__(self, per_minute: int, now: int) -> None:
        self._per_minute = per_minute
        self._units = per_minute * MINUTE_NS
        self._updated = now
        self._promised = now

    @classmethod
    def of_state(cls, per_minute: int, units: int, promised: int, updated: int) -> TokenBucket:
        """The bucket whose ``state`` this is."""
        bucket = cls(per_minute, updated)
        bucket._units, bucket._promised = units, promised
        return bucket

    @property
    def state(self) -> tuple[int, int, int, int]:
        """All there is to know of it: the rate, units, the last promise and the last look; 64 bits hold each."""
        return self._per_minute, self._units, self._promised, self._updated

    def take(self, per_minute: int, now: int) -> Charge:
        """Take a token if there is one. A rate that has changed counts from now on; what is left stays left.

        Each refused caller is told a later time than the one before, one token apart, so that everybody who waits as
        told finds a token, instead of all coming back for the same one.
        """
        self._refill(now)
        if per_minute != self._per_minute:
            self._per_minute = per_minute
            self._units = min(self._units, per_minute * MINUTE_NS)
        if self._units >= MINUTE_NS:
            self._units -= MINUTE_NS
            return self._charge(is_allowed=True, wait=0)
        a_token = -(-MINUTE_NS // per_minute)
        soonest = now + -(-(MINUTE_NS - self._units) // per_minute)
        farthest = now + max(MINUTE_NS, MIN_PROMISES * a_token)
        self._promised = min(max(soonest, self._promised + a_token), farthest)
        return self._charge(is_allowed=False, wait=self._promised - now)

    def is_full(self, now: int) -> bool:
        """Tell whether a new bucket would behave in the same way."""
        self._refill(now)
        return self._units == self._per_minute * MINUTE_NS and self._promised <= now

    def _refill(self, now: int) -> None:
        capacity = self._per_minute * MINUTE_NS
        self._units = min(capacity, self._units + max(now - self._updated, 0) * self._per_minute)
        self._updated = max(now, self._updated)

    def _charge(self, *, is_allowed: bool, wait: int) -> Charge:
        missing = self._per_minute * MINUTE_NS - self._units
        return Charge(
            is_allowed=is_allowed,
            limit=self._per_minute,
            remaining=self._units // MINUTE_NS,
            reset_seconds=missing / self._per_minute / 1e9,
            retry_after_seconds=wait / 1e9,
        )
