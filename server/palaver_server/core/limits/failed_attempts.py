"""Wrong keys an address: after some in a minute, the answer is to wait, whatever wrong key comes.

Nobody guesses a key of 256 random bits. This keeps a careless or hostile caller from filling logs and from learning,
at full speed, which of many found keys were once right. A right key is always let in: others may share the address.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

from palaver_server.core.limits.token_bucket import Charge, TokenBucket

MAX_ADDRESSES = 4096
"""Those that failed last are remembered; some 1 MB."""
IPV6_PREFIX = 64
"""One customer has a whole /64, so it counts as one address."""


class FailedAttempts:
    """Counts failures by address, in bounded memory. Belongs to one event loop."""

    def __init__(self, per_minute: int, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def count(self, address: str) -> Charge:
        """Count one failure; not allowed where there were too many."""
        network, now = _network(address), self._clock()
        bucket = self._buckets.get(network)
        if bucket is None:
            if len(self._buckets) >= MAX_ADDRESSES:
                self._buckets.popitem(last=False)
            bucket = self._buckets[network] = TokenBucket(self._per_minute, now)
        else:
            self._buckets.move_to_end(network)
        return bucket.take(self._per_minute, now)


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
    return str(parsed)
