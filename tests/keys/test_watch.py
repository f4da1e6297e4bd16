"""A change of keys counts however often the file could not be read before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.identity import watch
from palaver_server.core.identity.door import Door
from palaver_server.core.identity.issuing import revoke_key
from palaver_server.core.identity.key import Keys
from palaver_server.core.identity.key_file import KeyFile, KeyFileError
from palaver_server.core.identity.registry import KeyRegistry
from palaver_server.core.identity.watch import KeyWatch
from palaver_server.core.limits.failed_attempts import FailedAttempts
from palaver_server.settings import Rate, SettingsError
from tests.keys.conftest import Issue


class Watched:
    """A watch over a key file and a settings file, and what it has come to."""

    def __init__(self, key_file: KeyFile, settings_file: Path) -> None:
        self.registry = KeyRegistry()
        self.settings_file = settings_file
        self.revoked: set[str] = set()
        self.unreadable_tiers = 0
        self.per_minute: Rate = 60
        self.watch = KeyWatch(
            self.registry,
            key_file,
            tiers=self.tiers(),
            settings_file=settings_file,
            load_tiers=self.load_tiers,
            on_revoked=self.revoked.update,
        )

    def tiers(self) -> Mapping[str, Rate]:
        return {"default": self.per_minute}

    def load_tiers(self) -> Mapping[str, Rate]:
        if self.unreadable_tiers:
            self.unreadable_tiers -= 1
            raise SettingsError("out of file descriptors")
        return self.tiers()

    def refusal(self, key: str | None) -> Reason | None:
        door = Door(self.registry, FailedAttempts(100))
        try:
            door.identify(key, address=None, is_local=True)
        except PalaverError as error:
            return error.reason
        return None


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(watched: Watched) -> AsyncIterator[Watched]:
    watched.watch.load()
    task = asyncio.create_task(watched.watch.run())
    try:
        yield watched
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def watched(key_file: KeyFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setattr(watch, "INTERVAL_SECONDS", 0.01)
    return Watched(key_file, tmp_path / "palaver.toml")


@pytest.fixture
def failing_reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[str]]:
    """``failing_reads(3)`` makes the next three reads fail, and returns what is left of them."""

    def make(count: int) -> list[str]:
        left, read = ["out of file descriptors"] * count, KeyFile.read

        def failing(self: KeyFile) -> Keys:
            if left:
                raise KeyFileError(left.pop())
            return read(self)

        monkeypatch.setattr(KeyFile, "read", failing)
        return left

    return make


async def test_a_revocation_counts_although_reads_failed_and_is_complained_of_once(
    watched: Watched, key_file: KeyFile, issue: Issue, failing_reads: Callable[[int], list[str]]
) -> None:
    issued = issue()
    with structlog.testing.capture_logs() as lines:
        async with running(watched):
            left = failing_reads(3)
            key_file.path.write_text(key_file.path.read_text())
            await until(lambda: not left)
            revoke_key(key_file, issued.key.id)
            await until(lambda: issued.key.id in watched.revoked)
    assert watched.refusal(issued.text) is Reason.KEY_REVOKED
    assert [line["cause"] for line in lines if line["log_level"] == "error"] == ["out of file descriptors"]


async def test_a_change_is_taken_over_although_its_first_reads_failed(
    watched: Watched, key_file: KeyFile, issue: Issue, failing_reads: Callable[[int], list[str]]
) -> None:
    issued = issue()
    async with running(watched):
        without = key_file.read().model_copy(update={"keys": ()}).model_dump_json()
        left = failing_reads(3)
        key_file.path.write_text(without)  # nothing changes on disk after this
        await until(lambda: issued.key.id in watched.revoked)
        assert not left


async def test_changed_tiers_are_taken_over_although_the_settings_could_not_be_read_at_first(
    watched: Watched, issue: Issue
) -> None:
    issued = issue()
    async with running(watched):
        watched.per_minute, watched.unreadable_tiers = 600, 3
        watched.settings_file.write_text("changed")
        await until(lambda: watched.registry.client_for(issued.text).requests_per_minute == 600)


async def test_first_keys_that_cannot_be_read_have_everybody_refused_until_they_can(
    watched: Watched, key_file: KeyFile, issue: Issue
) -> None:
    text = issue().text
    whole = key_file.path.read_text()
    key_file.path.unlink()
    with structlog.testing.capture_logs() as lines:
        async with running(watched):
            assert watched.refusal(None) is None
            key_file.path.write_text("{broken")
            await until(lambda: watched.refusal(None) is Reason.KEY_MISSING)
            assert watched.refusal(text) is Reason.KEY_UNKNOWN
            key_file.path.unlink()
            await asyncio.sleep(0.1)
            assert watched.refusal(None) is Reason.KEY_MISSING
            key_file.path.write_text(whole)
            await until(lambda: watched.refusal(text) is None)
            assert watched.refusal(None) is Reason.KEY_MISSING
    assert "everybody is refused" in lines[0]["event"]
    assert not any("of before" in line["event"] for line in lines)
