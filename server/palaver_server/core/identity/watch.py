"""Sees to it that changes of keys and tiers count within a second, without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from palaver_server.core.identity.key_file import KeyFile, KeyFileError
from palaver_server.core.identity.registry import KeyRegistry, Snapshot
from palaver_server.settings import Rate, SettingsError

INTERVAL_SECONDS = 0.25
"""A look costs two calls of stat(2)."""

Stamp = tuple[int, int, int, int] | None

log = structlog.get_logger("palaver.keys")


class KeyWatch:
    """Reads the key file when it has changed, and the tiers when the settings file has.

    What cannot be read changes nothing: the keys of before go on to count, and the log says why. A key file that
    vanishes is such a case, for without one nobody would need a key.
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
        self._seen: tuple[Stamp, Stamp] = (None, None)

    def load(self) -> None:
        """Read the keys at the start.

        Raises:
            KeyFileError: the key file is damaged.
        """
        self._seen = self._look()
        if self._key_file.exists():
            self._registry.replace(Snapshot.of(self._key_file.read(), self._tiers))

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            before, self._seen = self._seen, await asyncio.to_thread(self._look)
            if self._seen[1] != before[1]:
                await self._take_over_tiers()
            if self._seen != before:
                await self._take_over_keys()

    async def _take_over_tiers(self) -> None:
        try:
            self._tiers = await asyncio.to_thread(self._load_tiers)
        except SettingsError as error:
            log.error("changed tiers are not taken over; those of before still count", cause=str(error))  # noqa: TRY400

    async def _take_over_keys(self) -> None:
        if not self._registry.requires_keys and self._seen[0] is None:
            return
        try:
            snapshot = await asyncio.to_thread(lambda: Snapshot.of(self._key_file.read(), self._tiers))
        except KeyFileError as error:
            log.error("changed keys are not taken over; those of before still count", cause=str(error))  # noqa: TRY400
            return
        revoked = self._registry.replace(snapshot)
        log.info("keys taken over", active=len(snapshot.by_id), revoked=len(revoked))
        if revoked:
            self._on_revoked(revoked)

    def _look(self) -> tuple[Stamp, Stamp]:
        return _stamp(self._key_file.path), _stamp(self._settings_file)


def _stamp(path: Path) -> Stamp:
    """What changes with every change of a file, by rename or in place; None where there is none to be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
