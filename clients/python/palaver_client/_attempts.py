"""Decides, for one call, whether it is tried again and when. No I/O: both clients wait for themselves."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from palaver_client.errors import Overloaded, PalaverClientError, Unavailable
from palaver_client.retry import RetryPolicy


class Attempts:
    """The attempts of one call, from its first moment.

    Args:
        policy: what the caller allows.
        timeout: seconds for all attempts and waits together; None for no limit.
        clock: gives the time in seconds.
        chance: gives a number from 0 to 1, for the jitter.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        timeout: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._chance = chance
        self._deadline = None if timeout is None else clock() + timeout
        self._failed_count = 0

    def remaining(self) -> float | None:
        """Seconds until the call's deadline, not below 0; None without one."""
        return None if self._deadline is None else max(self._deadline - self._clock(), 0.0)

    def delay_after(self, error: PalaverClientError) -> float | None:
        """Seconds to wait before the next attempt, or None if there must be none. Says why in a note of ``error``."""
        self._failed_count += 1
        if not isinstance(error, (Overloaded, Unavailable)):
            return None
        if self._failed_count >= self._policy.max_attempts:
            if self._failed_count > 1:
                error.add_note(f"{self._failed_count} attempts were made.")
            return None
        asked = error.retry_after
        if asked is not None and asked > self._policy.max_retry_after:
            error.add_note(f"Not tried again: the server asks for {asked:g} s, over the policy's max_retry_after.")
            return None
        delay = (self._backoff() if asked is None else asked) * (1 + self._policy.jitter * self._chance())
        remaining = self.remaining()
        if remaining is not None and delay >= remaining:
            error.add_note(f"Not tried again: a wait of {delay:.3g} s would outlast the {remaining:.3g} s left.")
            return None
        return delay

    def _backoff(self) -> float:
        policy = self._policy
        # The exponent is bounded so that a policy of a million attempts does not overflow a float.
        growth = policy.multiplier ** min(self._failed_count - 1, 64)
        return min(policy.initial_backoff * growth, policy.max_backoff)
