"""What keeps the clients' prefix caches apart.

A cached prompt shows in an answer's cached token count and its time to the first token: whoever shares a cache with
others can find out by trying what they have asked.
"""

from __future__ import annotations

import hmac


class CacheSalt:
    """Gives each client a salt of its own that nobody can guess.

    Args:
        secret: what all processes that share an engine know, and nobody else. The cache does not outlive the engine, so
            it need not either.
        is_shared: all clients share one cache.
    """

    def __init__(self, secret: bytes, *, is_shared: bool) -> None:
        self._secret = None if is_shared else secret

    def of(self, client_id: str) -> str | None:
        """Give a client's salt; None where all share one cache."""
        if self._secret is None:
            return None
        return hmac.digest(self._secret, client_id.encode(), "sha256").hex()
