"""Started and stopped again and again, with streams running: nothing stays behind, inside a process or outside."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from pathlib import Path

import psutil
import pytest

from tests.conftest import running_server
from tests.lifecycle.conftest import Reader
from tests.lifecycle.test_killing import all_gone

ROUNDS = 20
LONG = "Tell me a long story."
TINY_GLM = Path(__file__).parents[1] / "models" / "tiny-glm"


async def test_rounds_in_one_process_keep_no_descriptor_task_or_thread() -> None:
    kept = []
    for _ in range(ROUNDS):
        async with running_server(scripted_tokens=100_000, scripted_interval=0.001) as server:
            readers = [Reader(server.channel) for _ in range(8)]
            await asyncio.gather(*(reader.has_begun.wait() for reader in readers))
            await server.stop()
            assert [(await reader.task) is not None for reader in readers] == [True] * 8
        gc.collect()
        kept.append((psutil.Process().num_fds(), len(asyncio.all_tasks()), threading.active_count()))
    assert kept[-1] <= kept[1], f"descriptors, tasks, threads: {kept}"


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Temporary files of the servers and of their engines are made where they can be counted."""
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def shared_memory() -> set[str]:
    return set(os.listdir("/dev/shm"))  # noqa: PTH208  # names are what is compared


def lives(process: psutil.Process) -> bool:
    """A zombie has ended; the machine's init has not looked yet."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def left_in(own_folders: Path, sockets: Path) -> list[Path]:
    return [*own_folders.iterdir(), *(path for path in sockets.iterdir() if path.is_socket())]


async def rounds(start, *, count: int, own_folders: Path, sockets: Path) -> None:
    me = psutil.Process()
    shared, children, descriptors = shared_memory(), set(me.children(recursive=True)), None
    for _ in range(count):
        server = await start()
        family = server.processes()
        async with server.channel() as channel:
            readers = [Reader(channel, LONG) for _ in range(8)]
            await asyncio.gather(*(reader.has_begun.wait() for reader in readers))
            server.process.terminate()
            for reader in readers:
                await asyncio.wait_for(reader.task, 60)
            assert await asyncio.wait_for(server.process.wait(), 60) == 0
        await server._reader
        await all_gone(family, 2)  # Python's resource tracker ends when it sees that its owner has ended
        assert set(filter(lives, me.children(recursive=True))) <= children
        assert left_in(own_folders, sockets) == []
        assert shared_memory() <= shared
        descriptors = descriptors or me.num_fds()
    assert me.num_fds() <= descriptors


async def test_rounds_of_processes_leave_no_process_socket_or_file(start_server, own_folders, tmp_path):
    def start():
        return start_server("--grace", "0.1", "--scripted-tokens", "100000", "--scripted-interval", "0.001")

    await rounds(start, count=5, own_folders=own_folders, sockets=tmp_path)


@pytest.mark.thorough
@pytest.mark.timeout(1200)
async def test_rounds_with_an_engine_leave_no_process_socket_or_file(start_server, own_folders, tmp_path):
    def start():
        return start_server(
            *("--engine", "vllm", "--model", str(TINY_GLM), "--max-model-len", "1024", "--grace", "0.1"), seconds=120
        )

    await rounds(start, count=ROUNDS, own_folders=own_folders, sockets=tmp_path)
