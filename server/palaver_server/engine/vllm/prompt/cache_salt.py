"""What keeps the clients' prefix caches apart.

A cached prompt shows in an answer's cached token count and its time to the first token: whoever shares a cache with
others can find out by trying what they have asked.
"""

from __future__ import annotations

import hmac
from functools import lru_cache

MAX_CLIENTS = 1024
"""Whose salts are kept; others' are derived anew."""


class CacheSalt:
    """Gives each client a salt of its own that nobody can guess.

    Args:
        secret: what all processes that share an engine know, and nobody else. The cache does not outlive the engine, so
            it need not either.
        is_shared: all clients share one cache.
    """

    def __init__(self, secret: bytes, *, is_shared: bool) -> None:
        self._secret = None if is_shared else secret
        self._derived = lru_cache(MAX_CLIENTS)(self._derive)

    def of(self, client_id: str) -> str | None:
        """Give a client's salt; None where all share one cache."""
        return self._derived(client_id)

    def _derive(self, client_id: str) -> str | None:
        if self._secret is None:
            return None
        return hmac.digest(self._secret, client_id.encode(), "sha256").hex()
