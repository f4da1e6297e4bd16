"""Making, ending, renewing and forgetting keys: what `palaver keys` does to the key file."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from palaver_server.core.identity.key import Key, Keys, Secret, has_passed
from palaver_server.core.identity.key_file import KeyFile
from palaver_server.core.identity.key_text import key_hash, new_key_text

MAX_SECRETS = 32
"""Texts that one key remembers; the oldest of them expired long ago."""


class UnknownKeyError(Exception):
    """No key has this id."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new key text. It exists nowhere else: shown once, it is gone."""

    key: Key
    text: str

    def __repr__(self) -> str:
        return f"Issued({self.key.id})"


def create_key(file: KeyFile, make: Callable[[str, datetime, Secret], Key]) -> Issued:
    """Make a key and store its hash.

    Args:
        file: where to.
        make: is given a new id, the present time and the secret, and returns the record.

    Raises:
        KeyFileError: the file cannot be changed.
    """
    now, text = _now(), new_key_text()
    key = make(f"key-{secrets.token_hex(6)}", now, Secret(sha256=key_hash(text), created_at=now))
    file.change(lambda keys: keys.model_copy(update={"keys": (*keys.keys, key)}))
    return Issued(key, text)


def revoke_key(file: KeyFile, key_id: str) -> Key:
    """End a key for good. Its record stays, so that its holder is told what happened; a second time changes nothing.

    Raises:
        UnknownKeyError: there is no such key.
        KeyFileError: the file cannot be changed.
    """
    return _change_key(
        file, key_id, lambda key: key if key.revoked_at else key.model_copy(update={"revoked_at": _now()})
    )


def rotate_key(file: KeyFile, key_id: str, overlap: timedelta) -> Issued:
    """Give a key a new text. Id, client and limits stay, and so do the counters; the old text works for ``overlap``.

    Raises:
        UnknownKeyError: there is no such key, or it is revoked or expired.
        KeyFileError: the file cannot be changed.
    """
    now, text = _now(), new_key_text()

    def renew(key: Key) -> Key:
        if (state := key.state(now)) != "active":
            raise UnknownKeyError(f"The key {key_id} is {state}; make a new one with `palaver keys create`.")
        end = now + overlap
        # Those that ended before are remembered: their holders hear "expired" and not "unknown".
        old = [s if has_passed(s.expires_at, end) else s.model_copy(update={"expires_at": end}) for s in key.secrets]
        new = Secret(sha256=key_hash(text), created_at=now)
        return key.model_copy(update={"secrets": (*old, new)[-MAX_SECRETS:]})

    return Issued(_change_key(file, key_id, renew), text)


def prune_keys(file: KeyFile, older_than: timedelta) -> tuple[Key, ...]:
    """Forget the keys that were revoked or expired at least so long ago; their holders hear "unknown" from now on.

    The file stays when no key is left in it: callers must show a key as before.

    Returns:
        The keys that were forgotten.

    Raises:
        KeyFileError: the file cannot be changed.
    """
    if not file.exists():
        return ()  # a file without keys would ask all callers for one
    latest = (now := _now()) - older_than
    pruned: list[Key] = []

    def prune(keys: Keys) -> Keys:
        kept: list[Key] = []
        for key in keys.keys:
            ended = key.ended_at(now)
            (pruned if ended is not None and ended <= latest else kept).append(key)
        return keys.model_copy(update={"keys": tuple(kept)})

    file.change(prune)
    return tuple(pruned)


def _change_key(file: KeyFile, key_id: str, change: Callable[[Key], Key]) -> Key:
    def change_all(keys: Keys) -> Keys:
        if key_id not in (key.id for key in keys.keys):
            raise UnknownKeyError(f"There is no key {key_id}; `palaver keys list` shows those there are.")
        return keys.model_copy(update={"keys": tuple(change(k) if k.id == key_id else k for k in keys.keys)})

    return next(key for key in file.change(change_all).keys if key.id == key_id)


def _now() -> datetime:
    return datetime.now(UTC)
