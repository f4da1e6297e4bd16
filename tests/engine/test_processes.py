"""Life, death and start of a real engine's processes, each in a process of its own that may be killed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from palaver_server.engine.vllm.start.environment import remove_abandoned_folders

pytestmark = pytest.mark.timeout(300)

OWNER = Path(__file__).with_name("owner.py")
FLAGS = ("--max-model-len", "2048")
GONE_SECONDS = 5.0


def is_of_engine(child: psutil.Process) -> bool:
    try:
        return "resource_tracker" not in " ".join(child.cmdline())
    except psutil.Error:  # it has ended since
        return False


class Owner:
    """A running ``owner.py``."""

    def __init__(self, process: asyncio.subprocess.Process, errors: Path) -> None:
        self.process = process
        self._errors = errors

    async def said(self) -> dict[str, Any]:
        """Wait for its next line; empty at its end."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        return json.loads(line) if line else {}

    async def wait_for(self, key: str) -> dict[str, Any]:
        while key not in (line := await self.said()):
            assert line, f"it ended early:\n{self.printed_errors}"
        return line

    def engine_processes(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if is_of_engine(child)]

    @property
    def printed_errors(self) -> str:
        return self._errors.read_text()


@asynccontextmanager
async def owner(folder: Path, *arguments: str) -> AsyncIterator[Owner]:
    errors = folder / "errors"
    with errors.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(OWNER),
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env=os.environ | {"TMPDIR": str(folder), "PYTHONWARNINGS": "ignore"},
        )
    try:
        yield Owner(process, errors)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
def short_folder() -> AsyncIterator[Path]:  # type: ignore[misc]
    """A temporary folder with a path that sockets can have; pytest's own are too long."""
    folder = Path(tempfile.mkdtemp(prefix="engine-"))
    yield folder
    shutil.rmtree(folder)


def folders_of_engines(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.name.startswith("palaver-")]


async def gone(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Who is left after the time that they have."""
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout=GONE_SECONDS)
    return [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


async def test_killing_the_owner_of_an_idle_engine_leaves_no_process(model: Path, short_folder: Path) -> None:
    async with owner(short_folder, "serve", str(model), *FLAGS) as serving:
        loaded = await serving.wait_for("loaded")
        engine_processes = serving.engine_processes()
        groups = [os.getpgid(process.pid) for process in engine_processes]

        serving.process.kill()

        fork_server, core, worker = (process.pid for process in engine_processes)
        # A signal to the terminal's or the service's whole group must not reach the engine.
        assert groups == [fork_server, core, core]
        assert worker != core
        assert await gone(engine_processes) == []
        assert folders_of_engines(short_folder) == []
        assert loaded["longest_stall"] < 2.0


@pytest.mark.parametrize("child_count", [1, 2, 3])
async def test_killing_the_owner_of_a_loading_engine_leaves_no_process(
    model: Path, short_folder: Path, child_count: int
) -> None:
    """Killed while the fork server imports, when the engine core has just been forked, and when the worker has."""
    async with owner(short_folder, "serve", str(model), *FLAGS) as serving:
        while len(engine_processes := serving.engine_processes()) < child_count:
            await asyncio.sleep(0.05)
            assert serving.process.returncode is None
        # What is guarded from the first instruction on is python code; its interpreter must have begun.
        await asyncio.sleep(0.5)

        serving.process.kill()

        assert await gone(engine_processes) == []
        # A process that is killed before its guard stands leaves the folder to the next server's start.
        await serving.process.wait()
        remove_abandoned_folders(short_folder)
        assert folders_of_engines(short_folder) == []


async def test_a_killed_engine_core_ends_every_answer_within_a_second(model: Path, short_folder: Path) -> None:
    async with owner(short_folder, "fail", str(model), *FLAGS) as failing:
        told = await failing.wait_for("outcomes")

    assert told["outcomes"] == ["ENGINE_UNAVAILABLE 10.0"]
    assert told["ended_after"] < 1.0
    assert told["noticed_after"] < 1.0
    assert told["sentence"] == "The engine has stopped: its process EngineCore was killed by SIGKILL."
    assert told["left"] == 0
    assert folders_of_engines(short_folder) == []


async def test_an_engine_that_is_stopped_while_it_loads_leaves_no_process(model: Path, short_folder: Path) -> None:
    async with owner(short_folder, "leave", str(model), *FLAGS) as leaving:
        cancelled = await leaving.wait_for("way")
        shut_down = await leaving.wait_for("way")

    assert cancelled["outcome"].startswith("CancelledError(")
    assert shut_down["outcome"] == "EngineStartError('The engine was stopped while it was starting.')"
    for told in (cancelled, shut_down):
        assert told["left"] == 0
        assert told["seconds"] < GONE_SECONDS
    assert folders_of_engines(short_folder) == []


def copy_model(model: Path, to: Path) -> Path:
    to.mkdir()
    for file in model.iterdir():
        if file.name != "config.json":
            (to / file.name).symlink_to(file)
    shutil.copy(model / "config.json", to / "config.json")
    return to


def change_config(folder: Path, **values: object) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))
    return folder


async def test_what_cannot_start_is_refused_with_one_sentence(model: Path, short_folder: Path) -> None:
    empty = short_folder / "empty"
    empty.mkdir()
    strange = change_config(copy_model(model, short_folder / "strange"), architectures=["NoSuchForCausalLM"])
    unheard = change_config(copy_model(model, short_folder / "unheard"), model_type="unheard", architectures=None)
    cut = copy_model(model, short_folder / "cut")
    (cut / "model.safetensors").unlink()
    with (model / "model.safetensors").open("rb") as whole:
        (cut / "model.safetensors").write_bytes(whole.read(50_000_000))
    cases: list[tuple[list[str], str]] = [
        (["/no/such/folder"], "There is no folder /no/such/folder; --model takes a model's folder or its name."),
        ([str(empty)], f"The folder {empty} holds no model: it has no config.json."),
        (
            [str(model), "--max-model-length", "5"],
            "Neither palaver nor vLLM has the option --max-model-length 5; see `palaver serve --help`",
        ),
        (
            [str(model), "--max-num-seqs", "many"],
            "vLLM does not take these engine arguments: argument --max-num-seqs: invalid",
        ),
        (
            [str(model), "--model", "other"],
            "--model cannot be passed to vLLM: the model is palaver's own setting of that name.",
        ),
        (
            [str(model), "--max-model-len", "100000"],
            f"--max-model-len 100000 is more than the 8192 tokens that the model {model} was made for; take less.",
        ),
        ([str(strange)], "vLLM does not support the architecture NoSuchForCausalLM of the model"),
        ([str(unheard)], f"The model {unheard} is of the type unheard, which the installed transformers library"),
        ([str(cut)], f"A weight file of the model {cut} is damaged or incomplete; fetch the model again."),
    ]

    async with owner(short_folder, "refuse", *(json.dumps(case) for case, _ in cases)) as refusing:
        told = [await refusing.wait_for("error") for _ in cases]

    for (_, sentence), one in zip(cases, told, strict=True):
        assert one["error"].startswith(sentence)
        assert "\n" not in one["error"]
        assert one["error"].endswith(".")
        assert one["left"] == 0
    assert "Traceback" not in refusing.printed_errors
    assert folders_of_engines(short_folder) == []
