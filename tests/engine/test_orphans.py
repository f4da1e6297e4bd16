"""A guarded process ends with its owner; an unguarded one is left alone."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from palaver_server.engine.vllm.processes import orphans
from palaver_server.engine.vllm.processes.children import Target
from palaver_server.engine.vllm.start.environment import FOLDER_VARIABLE, OWNER_VARIABLE, make_engine_folder

GUARDED = """
import time
from palaver_server.engine.vllm.processes import orphans
orphans.install()
orphans.install()
print("ready", flush=True)
time.sleep(60)
"""
SLEEPER = "import time; time.sleep(60)"


async def start(code: str, **variables: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env=os.environ | variables, stdout=asyncio.subprocess.PIPE
    )


async def test_a_guarded_process_ends_with_its_owner_and_clears_up() -> None:
    folder = make_engine_folder()
    (folder / "socket").touch()
    owner = await start(SLEEPER)
    guarded = await start(GUARDED, **{OWNER_VARIABLE: str(owner.pid), FOLDER_VARIABLE: str(folder)})
    assert guarded.stdout is not None
    assert await guarded.stdout.readline() == b"ready\n"

    owner.kill()
    await owner.wait()

    async with asyncio.timeout(5):
        assert await guarded.wait() == -signal.SIGKILL
    assert not folder.exists()


async def test_a_process_whose_owner_is_gone_already_ends_at_once() -> None:
    owner = await start("")
    await owner.wait()

    guarded = await start(GUARDED, **{OWNER_VARIABLE: str(owner.pid)})

    async with asyncio.timeout(5):
        assert await guarded.wait() == -signal.SIGKILL


async def test_a_process_without_an_owner_lives_on() -> None:
    unguarded = await start(GUARDED.replace("time.sleep(60)", "time.sleep(0.2)"))

    assert await unguarded.wait() == 0


async def test_the_owner_itself_is_not_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OWNER_VARIABLE, str(os.getpid()))
    before = orphans._start_guard.cache_info().currsize

    orphans.install()

    assert orphans._start_guard.cache_info().currsize == before


async def test_a_target_becomes_what_its_child_enters() -> None:
    assert pickle.loads(pickle.dumps(Target(os.getpid))) == os.getpid()  # type: ignore[arg-type]


async def test_the_engines_folder_has_room_for_a_sockets_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))

    folder = make_engine_folder()

    try:
        assert len(str(folder)) + len("/") + 36 < 108
        assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        folder.rmdir()
