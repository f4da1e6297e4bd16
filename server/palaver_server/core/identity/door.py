"""The check of every caller: who it is, and whether it is let in."""

from __future__ import annotations

from dataclasses import replace

from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.identity.client import ANONYMOUS, LOCAL, Client
from palaver_server.core.identity.registry import KeyRegistry
from palaver_server.core.limits.failed_attempts import FailedAttempts


class Door:
    """Turns a key text into a client. Belongs to one event loop.

    Args:
        registry: knows the keys.
        failed_attempts: counts wrong keys.
        opened: methods of ``BY_NAME_ALONE`` that callers may use as long as there are no keys.
    """

    def __init__(
        self, registry: KeyRegistry, failed_attempts: FailedAttempts, *, opened: frozenset[str] = frozenset()
    ) -> None:
        self._registry = registry
        self._failed_attempts = failed_attempts
        self._local, self._anonymous = replace(LOCAL, opened=opened), replace(ANONYMOUS, opened=opened)

    def identify(self, key: str | None, *, address: str | None, is_local: bool) -> Client:
        """The client that a caller is.

        Args:
            key: what the caller showed; None for nothing.
            address: where the caller is, to count failures by; None for callers that come by a unix socket.
            is_local: whether that is this machine.

        Raises:
            PalaverError: the key is missing, malformed, unknown, expired or revoked, or too many wrong ones came.
        """
        if not self._registry.requires_keys:
            return self._local if is_local else self._anonymous
        if key is None:
            raise PalaverError(
                Reason.KEY_MISSING,
                "No API key was shown. Send it as the header x-api-key, or as authorization: Bearer KEY.",
            )
        try:
            return self._registry.client_for(key)
        except PalaverError:
            if address is not None and not (charge := self._failed_attempts.count(address)).is_allowed:
                raise PalaverError(
                    Reason.TOO_MANY_FAILED_ATTEMPTS,
                    "Too many wrong API keys came from this address. Try again, with a right one, after the time "
                    "given.",
                    retry_after_seconds=charge.retry_after_seconds,
                ) from None
            raise
