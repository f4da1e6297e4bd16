"""Requests per minute, a bucket a key. Whoever asks, by whatever transport, draws from the same bucket."""

from __future__ import annotations

import time
from collections.abc import Callable

from palaver_server.core.errors import PalaverError, QuotaViolation, Reason
from palaver_server.core.identity.client import Client
from palaver_server.core.limits.shared_buckets import SharedBuckets
from palaver_server.core.limits.token_bucket import MINUTE_NS, Charge, TokenBucket

SWEEP_AT = 1024
"""Buckets beyond which full ones are dropped now and then; a full bucket is as good as none."""


class RequestLimiter:
    """Counts calls by key id. It is not told of changes of keys, so they reset nobody. Belongs to one event loop.

    Only clients with a key and a limit have a bucket: what callers invent makes none.

    Args:
        clock: nanoseconds.
        shared: the buckets, where other processes of this server draw from them too; None: its own.
    """

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns, shared: SharedBuckets | None = None) -> None:
        self._clock = clock
        self._shared = shared
        self._buckets: dict[str, TokenBucket] = {}
        self._swept_at = clock()

    def __len__(self) -> int:
        return len(self._buckets)

    def charge(self, client: Client) -> Charge | None:
        """Count one call of a client; None where it is unlimited."""
        if client.key_id is None or client.requests_per_minute is None:
            return None
        now = self._clock()
        if self._shared is not None:
            return self._shared.charge(client.key_id, client.requests_per_minute, now)
        bucket = self._buckets.get(client.key_id)
        if bucket is None:
            self._sweep(now)
            bucket = self._buckets[client.key_id] = TokenBucket(client.requests_per_minute, now)
        return bucket.take(client.requests_per_minute, now)

    def _sweep(self, now: int) -> None:
        if len(self._buckets) >= SWEEP_AT and now - self._swept_at >= MINUTE_NS:
            self._swept_at = now
            self._buckets = {key_id: bucket for key_id, bucket in self._buckets.items() if not bucket.is_full(now)}


def rate_limited(client: Client, charge: Charge) -> PalaverError:
    """Say that a client has used up its calls, and when the next one is there for it."""
    limit = f"{charge.limit} requests per minute"
    return PalaverError(
        Reason.RATE_LIMITED,
        f"The key's limit of {limit} is reached. Try again after the time given.",
        quota_violations=[QuotaViolation(f"client:{client.id}", f"{limit} for the key {client.key_id}")],
        retry_after_seconds=charge.retry_after_seconds,
        metadata={"key_id": client.key_id or "", "requests_per_minute": str(charge.limit)},
    )
