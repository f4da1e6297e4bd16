"""When a failed call is tried again."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and after how long a call is tried again.

    Only calls that nobody has seen an answer of are: a stream whose first event has come is never sent again. Only
    ``errors.Unavailable`` and ``errors.Overloaded`` are worth another try. Where the server says how long to wait, that
    is waited for, and up to ``jitter`` longer; else the waits grow from ``initial_backoff`` to ``max_backoff`` seconds.
    A wait that would outlast the call's timeout, or ``max_retry_after``, is not begun: the call fails at once.

    Nothing else retries: gRPC gets no retry policy, neither from here nor from DNS. Its transparent retries stay on;
    they send again only what no server has seen, when a connection ends in that moment.

    Raises:
        ValueError: a number is out of its range; the message names it.
    """

    max_attempts: int = 4
    """Times that a call is sent at most, the first included; 1 never tries again. With the other defaults 4 attempts
    outlast 3.5 seconds without a server, which covers a restart."""
    initial_backoff: float = 0.5
    """Seconds before the second attempt, above 0."""
    max_backoff: float = 8.0
    """Longest wait in seconds where the server names none, above 0."""
    multiplier: float = 2.0
    """Each such wait is this many times the one before, 1 to 100."""
    jitter: float = 0.25
    """Part of a wait that is added to it at most, at random, 0 to 1: clients that were refused together shall not come
    back together. Never taken away, since a server that names a time means no sooner."""
    max_retry_after: float = 60.0
    """Longest wait, in seconds, that the server may ask for, from 0. A quota of the day is not waited for."""

    def __post_init__(self) -> None:
        ranges = {
            "max_attempts": (1, math.inf),
            "initial_backoff": (0.001, math.inf),
            "max_backoff": (0.001, math.inf),
            "multiplier": (1, 100),
            "jitter": (0, 1),
            "max_retry_after": (0, math.inf),
        }
        for name, (lowest, highest) in ranges.items():
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise ValueError(f"{name} must be from {lowest} to {highest}, not {value}")


NEVER = RetryPolicy(max_attempts=1)
"""Every call is sent once."""
