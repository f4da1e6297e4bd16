"""Buckets that several processes draw from: a key's calls are counted once, whichever process they reach.

The buckets lie in memory that has no name and goes with its last process. A lock of the kernel's holds the processes
apart for the microsecond that a charge takes, and is gone with whoever held it.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from palaver_server.core.limits.token_bucket import Charge, TokenBucket

WAYS = 16
"""Buckets with the same first bits of their key's hash; one more takes the place of a full or of the oldest one."""
SETS = 1024
"""With ``WAYS``, 16384 buckets: 0.8 MB."""
_BUCKET = struct.Struct("=16s4q")
"""The key's hash; then the state of ``TokenBucket``."""
_FREE = bytes(16)


class SharedBuckets:
    """A bucket a key, in memory that processes share. Belongs to one event loop in each of them.

    Args:
        descriptor: of the memory that another process has made; None makes it.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            descriptor = os.memfd_create("palaver-limits", os.MFD_CLOEXEC)
            os.ftruncate(descriptor, SETS * WAYS * _BUCKET.size)
        self.descriptor = descriptor
        """For a process that shall share them."""
        self._memory = mmap.mmap(descriptor, SETS * WAYS * _BUCKET.size)

    def charge(self, key_id: str, per_minute: int, now: int) -> Charge:
        """Take a token of a key's bucket if there is one; a key that is new has a full bucket.

        Args:
            key_id: whose bucket.
            per_minute: its rate.
            now: nanoseconds of the machine's monotonic clock, which is the same for all processes.
        """
        digest = hashlib.blake2b(key_id.encode(), digest_size=16).digest()
        with self._locked():
            place, bucket = self._find(digest, now)
            bucket = bucket or TokenBucket(per_minute, now)
            charge = bucket.take(per_minute, now)
            _BUCKET.pack_into(self._memory, place, digest, *bucket.state)
        return charge

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()
        os.close(self.descriptor)

    def _find(self, digest: bytes, now: int) -> tuple[int, TokenBucket | None]:
        """A key's place and bucket, or the place that a new one may have."""
        first = int.from_bytes(digest[:4], "big") % SETS * WAYS * _BUCKET.size
        best, best_age = first, -1.0
        for place in range(first, first + WAYS * _BUCKET.size, _BUCKET.size):
            owner, *state = _BUCKET.unpack_from(self._memory, place)
            if owner == _FREE:
                age = float("inf")
            else:
                bucket = TokenBucket.of_state(*state)
                if owner == digest:
                    return place, bucket
                # One that is full is as good as none.
                age = float("inf") if bucket.is_full(now) else now - state[-1]
            if age > best_age:
                best, best_age = place, age
        return best, None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)
