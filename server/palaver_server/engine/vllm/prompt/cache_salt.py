"""What keeps the clients' prefix caches apart.

A cached prompt shows in an answer's cached token count and its time to the first token: whoever shares a cache with
others can find out by trying what they have asked.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets


class CacheSalt:
    """Gives each client a salt of its own that nobody can guess.

    The cache does not outlive the process, so the secret need not either.
    """

    def __init__(self, *, is_shared: bool) -> None:
        self._secret = None if is_shared else secrets.token_bytes(32)

    def of(self, client_id: str) -> str | None:
        """Give a client's salt; None where all share one cache."""
        if self._secret is None:
            return None
        return hmac.new(self._secret, client_id.encode(), hashlib.sha256).hexdigest()
