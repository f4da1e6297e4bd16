"""The keys that count at this moment, ready to be looked up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.identity.client import Client
from palaver_server.core.identity.key import Key, Keys
from palaver_server.core.identity.key_text import LENGTH, PREFIX, is_well_formed, key_hash
from palaver_server.settings import DEFAULT_TIER, Rate

log = structlog.get_logger("palaver.keys")


@dataclass(frozen=True, slots=True)
class _Entry:
    """What one key text opens."""

    client: Client
    is_revoked: bool
    expires_at: float
    """Seconds since the epoch; infinite for ever."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The keys of one moment. Built apart, swapped in at once."""

    by_hash: Mapping[str, _Entry]
    by_id: Mapping[str, Client]
    """Clients of keys that are not revoked."""

    @classmethod
    def of(cls, keys: Keys, tiers: Mapping[str, Rate]) -> Snapshot:
        """Prepare everything that a call would else compute."""
        by_hash, by_id = {}, {}
        for key in keys.keys:
            client = _client(key, tiers)
            is_revoked = key.revoked_at is not None
            if not is_revoked:
                by_id[key.id] = client
            for secret in key.secrets:
                ends = [moment.timestamp() for moment in (key.expires_at, secret.expires_at) if moment]
                by_hash[secret.sha256] = _Entry(client, is_revoked, min(ends, default=float("inf")))
        return cls(by_hash, by_id)


NO_KEYS = Snapshot({}, {})
"""Keys are required, and nobody has one."""


class KeyRegistry:
    """Tells which client a key text belongs to. Nothing is read from disk here.

    The look-up takes the same time for any text: what is compared is a hash of it, and who cannot choose a hash's first
    digits learns nothing from how far a comparison went.
    """

    def __init__(self, snapshot: Snapshot | None = None, clock: Callable[[], float] = time.time) -> None:
        self._snapshot = snapshot
        self._clock = clock

    @property
    def requires_keys(self) -> bool:
        """False as long as there is no key file."""
        return self._snapshot is not None

    @property
    def knows_none(self) -> bool:
        """Whether keys are required, and none was ever read."""
        return self._snapshot is NO_KEYS

    def replace(self, snapshot: Snapshot) -> frozenset[str]:
        """Use other keys from now on; return the ids of those that were good before and are revoked or gone now."""
        before = self._snapshot.by_id.keys() if self._snapshot else frozenset()
        self._snapshot = snapshot
        return frozenset(before - snapshot.by_id.keys())

    def client_of(self, key_id: str) -> Client | None:
        """The client of a key that is not revoked, by the key's public id."""
        return self._snapshot.by_id.get(key_id) if self._snapshot else None

    def client_for(self, text: str) -> Client:
        """The client whose key this is.

        Raises:
            PalaverError: the key is malformed, unknown, expired or revoked. The last two are told to holders of a whole
                key alone.
        """
        if not is_well_formed(text):
            raise PalaverError(
                Reason.KEY_MALFORMED,
                f"Incorrect API key provided: a key of palaver begins with {PREFIX} and has {LENGTH} characters.",
            )
        entry = self._snapshot.by_hash.get(key_hash(text)) if self._snapshot else None
        if entry is None:
            raise PalaverError(Reason.KEY_UNKNOWN, "Incorrect API key provided: this server does not know it.")
        if entry.is_revoked:
            raise PalaverError(Reason.KEY_REVOKED, "The API key has been revoked; ask for a new one.")
        if entry.expires_at <= self._clock():
            raise PalaverError(Reason.KEY_EXPIRED, "The API key has expired or was replaced; ask for a new one.")
        return entry.client


def _client(key: Key, tiers: Mapping[str, Rate]) -> Client:
    rate = key.requests_per_minute
    if rate is None:
        if key.tier not in tiers:
            log.warning("a key's tier has no settings; the default one counts", key_id=key.id, tier=key.tier)
        rate = tiers.get(key.tier, tiers[DEFAULT_TIER])
    return Client(
        id=key.client,
        tier=key.tier,
        key_id=key.id,
        requests_per_minute=None if rate == "unlimited" else rate,
        models=key.models,
        methods=key.methods,
    )
