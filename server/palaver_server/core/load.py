"""How busy this server has been of late, for load balancers that weigh servers by it.

All averages look back over the same time with the same weights, so that their ratios mean something: calls a second
over the mean number of calls at once is, by Little's law, one over the mean duration of a call.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from palaver_server.core.errors import PalaverError, Reason

AVERAGING_SECONDS = 5.0
"""A call that is so long ago counts for 1/e. A few answers long: shorter would follow each of them."""

_FAULTS = frozenset(
    {
        Reason.SERVER_OVERLOADED,
        Reason.SERVER_DRAINING,
        Reason.ENGINE_UNAVAILABLE,
        Reason.GENERATION_FAILED,
        Reason.INTERNAL,
    }
)
"""What counts against this server: another one would have answered. A server that refuses or fails is quick at it, and
would look strong if that did not count."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """One look."""

    utilization: float
    """Of what there is least of: places of the admission, those who wait for one included, or the KV cache. From 0;
    above 1 where callers wait."""
    calls_per_second: float
    """Calls that have ended in any way."""
    errors_per_second: float
    """Those of them that failed by a fault of this server."""
    kv_cache_usage: float
    """The part of the KV cache that running answers hold, 0 to 1, now."""
    running: int
    """Calls that hold a place, now."""
    waiting: int
    """Calls that wait for one, now."""


class Load:
    """Follows the calls. Costs some additions a call, a token nothing. Belongs to one event loop.

    Args:
        max_concurrent: places of the admission.
        counts: gives how many calls run and how many wait.
        kv_cache_usage: gives the engine's.
    """

    def __init__(
        self,
        max_concurrent: int,
        counts: Callable[[], tuple[int, int]],
        kv_cache_usage: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_concurrent = max_concurrent
        self._counts = counts
        self._kv_cache_usage = kv_cache_usage
        self._clock = clock
        self._changed = clock()
        self._calls = 0
        self._mean_calls = self._call_rate = self._error_rate = 0.0

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count the body as a call, from its wait for a place to its end."""
        self._advance()
        self._calls += 1
        is_fault = False
        try:
            yield
        except PalaverError as error:
            is_fault = error.reason in _FAULTS
            raise
        except Exception:
            is_fault = True
            raise
        finally:
            self._advance()
            self._calls -= 1
            self._call_rate += 1 / AVERAGING_SECONDS
            self._error_rate += is_fault / AVERAGING_SECONDS

    def report(self) -> LoadReport:
        """Look."""
        self._advance()
        running, waiting = self._counts()
        kv_cache_usage = self._kv_cache_usage()
        return LoadReport(
            utilization=max(self._mean_calls / self._max_concurrent, kv_cache_usage),
            calls_per_second=self._call_rate,
            errors_per_second=self._error_rate,
            kv_cache_usage=kv_cache_usage,
            running=running,
            waiting=waiting,
        )

    def _advance(self) -> None:
        """Bring the averages up to this moment; nothing has changed since the last."""
        now = self._clock()
        old = math.exp((self._changed - now) / AVERAGING_SECONDS)
        self._changed = now
        self._mean_calls = self._mean_calls * old + self._calls * (1 - old)
        self._call_rate *= old
        self._error_rate *= old
