"""Each kind of process, killed at each phase of a load: nobody waits for ever, nothing is left, no death is missed."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import psutil
import pytest

from tests.lifecycle.conftest import ServerProcess
from tests.lifecycle.test_killing import NOT_SERVING, nobody_left, within

pytestmark = pytest.mark.timeout(300)
PARENTS = {"fork server": "server", "core": "fork server", "worker": "core"}
NAMES = {"fork server": "palaver::ForkServer", "core": "VLLM::EngineCore", "worker": "VLLM::Worker"}
END_SECONDS = 5.0


def parts(server: ServerProcess) -> dict[str, psutil.Process]:
    """Who is there by now."""
    family = server.processes()
    found = {"server": family[0]}
    for part, parent in PARENTS.items():
        for process in family:
            with suppress(psutil.NoSuchProcess):
                if parent in found and process.ppid() == found[parent].pid and process.name() == NAMES[part]:
                    found[part] = process
    return found


async def reached(server: ServerProcess, phase: str) -> dict[str, psutil.Process]:
    """Wait for a phase of the load: the last process that begins in it, or what the server says."""
    if phase == "warm-up":
        await server.said("warming up", 120)
    async with asyncio.timeout(120):
        while phase in NAMES and phase not in parts(server):
            await asyncio.sleep(0.01)
            assert server.process.returncode is None, "\n".join(server.lines)
    return parts(server)


@pytest.mark.parametrize(
    ("phase", "who"),
    [
        pytest.param("fork server", "server", marks=pytest.mark.thorough),
        ("fork server", "fork server"),
        pytest.param("core", "server", marks=pytest.mark.thorough),
        pytest.param("core", "fork server", marks=pytest.mark.thorough),
        pytest.param("core", "core", marks=pytest.mark.thorough),
        ("worker", "server"),
        pytest.param("worker", "fork server", marks=pytest.mark.thorough),
        pytest.param("worker", "core", marks=pytest.mark.thorough),
        pytest.param("worker", "worker", marks=pytest.mark.thorough),
        pytest.param("warm-up", "server", marks=pytest.mark.thorough),
        pytest.param("warm-up", "fork server", marks=pytest.mark.thorough),
        pytest.param("warm-up", "core", marks=pytest.mark.thorough),
        pytest.param("warm-up", "worker", marks=pytest.mark.thorough),
    ],
)
async def test_a_death_while_loading_ends_every_process(phase, who, start_engine, ask, watch_health):
    server = await start_engine(wait_for="importing vLLM", own_group=True)
    async with server.channel() as channel:
        seen: list[int] = []
        watch = watch_health(channel, seen=seen)
        async with asyncio.timeout(10):
            while not seen:
                await asyncio.sleep(0.01)
        victims = await reached(server, phase)
        victims[who].kill()
        late = asyncio.create_task(ask(channel))
        status = await within(END_SECONDS, asyncio.create_task(server.process.wait()))
        assert status == (-signal.SIGKILL if who == "server" else 1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await within(1, late)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert set(await within(1, watch)) == {NOT_SERVING}
    await nobody_left(server)
    if who != "server":
        await server.said("the model cannot be served")


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """pytest's own paths are too long for the engine's sockets."""
    with tempfile.TemporaryDirectory(prefix="stop-") as folder:
        yield Path(folder)


async def test_a_stop_waits_for_no_import_and_leaves_nothing(start_engine, short_folder, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(short_folder))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)  # torch sets it for whoever has imported it
    server = await start_engine(wait_for="importing vLLM", own_group=True)
    async with asyncio.timeout(60):
        # torch makes it, again and again, while it is imported.
        while not list(short_folder.glob("palaver-*/torchinductor")):
            await asyncio.sleep(0.01)
    server.process.terminate()
    assert await within(3, asyncio.create_task(server.process.wait())) == 0
    await nobody_left(server, 2)
    assert list(short_folder.iterdir()) == []
