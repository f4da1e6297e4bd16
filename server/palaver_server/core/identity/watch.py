"""Sees to it that changes of keys and tiers count within a second, without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from palaver_server.core.identity.key_file import KeyFile, KeyFileError
from palaver_server.core.identity.registry import NO_KEYS, KeyRegistry, Snapshot
from palaver_server.settings import Rate, SettingsError

INTERVAL_SECONDS = 0.25
"""A look costs two calls of stat(2), and some milliseconds while something cannot be read: then each look tries to."""

Stamp = tuple[int, int, int, int] | None

log = structlog.get_logger("palaver.keys")


class KeyWatch:
    """Reads the key file when it has changed, and the tiers when the settings file has.

    What cannot be read changes nothing: the keys of before go on to count, the log says why, and it is read again until
    it can be. A key file that vanishes is such a case, for without one nobody would need a key. Where no keys were
    known before, a file that cannot be read has everybody refused: somebody wanted keys.
    """

    def __init__(
        self,
        registry: KeyRegistry,
        key_file: KeyFile,
        *,
        tiers: Mapping[str, Rate],
        settings_file: Path,
        load_tiers: Callable[[], Mapping[str, Rate]],
        on_revoked: Callable[[frozenset[str]], None],
    ) -> None:
        self._registry = registry
        self._key_file = key_file
        self._tiers = tiers
        self._settings_file = settings_file
        self._load_tiers = load_tiers
        self._on_revoked = on_revoked
        self._keys_stamp: Stamp = None
        self._tiers_stamp: Stamp = None
        self._has_new_tiers = False
        self._problems: dict[str, str] = {}

    def load(self) -> None:
        """Read the keys at the start.

        Raises:
            KeyFileError: the key file is damaged.
        """
        self._keys_stamp, self._tiers_stamp = self._look()
        if self._key_file.exists():
            self._registry.replace(Snapshot.of(self._key_file.read(), self._tiers))

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            keys_stamp, tiers_stamp = await asyncio.to_thread(self._look)
            # A stamp counts as seen once what it stands for was read, and was taken before that: nothing is missed.
            if tiers_stamp != self._tiers_stamp and await self._take_over_tiers():
                self._tiers_stamp, self._has_new_tiers = tiers_stamp, True
            if (keys_stamp != self._keys_stamp or self._has_new_tiers) and await self._take_over_keys(keys_stamp):
                self._keys_stamp, self._has_new_tiers = keys_stamp, False

    async def _take_over_tiers(self) -> bool:
        try:
            self._tiers = await asyncio.to_thread(self._load_tiers)
        except SettingsError as error:
            self._tell("changed tiers are not taken over; those of before still count", error)
            return False
        self._problems.pop("SettingsError", None)
        return True

    async def _take_over_keys(self, stamp: Stamp) -> bool:
        if not self._registry.requires_keys and stamp is None:
            return True
        try:
            snapshot = await asyncio.to_thread(lambda: Snapshot.of(self._key_file.read(), self._tiers))
        except KeyFileError as error:
            if not self._registry.requires_keys:
                self._registry.replace(NO_KEYS)
            if self._registry.knows_none:
                self._tell("everybody is refused until the key file is whole: make it anew, or restart without", error)
            else:
                self._tell("changed keys are not taken over; those of before still count", error)
            return False
        self._problems.pop("KeyFileError", None)
        revoked = self._registry.replace(snapshot)
        log.info("keys taken over", active=len(snapshot.by_id), revoked=len(revoked))
        if revoked:
            self._on_revoked(revoked)
        return True

    def _tell(self, event: str, error: Exception) -> None:
        """Log a problem once, for as long as it is the same."""
        kind, cause = type(error).__name__, str(error)
        if self._problems.get(kind) != cause:
            self._problems[kind] = cause
            log.error(event, cause=cause)

    def _look(self) -> tuple[Stamp, Stamp]:
        return _stamp(self._key_file.path), _stamp(self._settings_file)


def _stamp(path: Path) -> Stamp:
    """What changes with every change of a file, by rename or in place; None where there is none.

    One that is there and cannot be looked at has a stamp of its own: reading it will say why.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return error.errno or 0, 0, 0, 0
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
