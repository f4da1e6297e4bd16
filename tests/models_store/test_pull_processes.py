from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import palaver_server
from palaver_server.models.catalogue import CatalogueModel
from palaver_server.models.store import ModelStore

DRIVER = Path(__file__).with_name("pull_driver.py")
SERVER = Path(palaver_server.__file__).parents[1]

Start = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def start(tiny: CatalogueModel, store: ModelStore, finished: Path) -> Iterator[Start]:
    """Starts a process that pulls; ends those that are left."""
    processes: list[subprocess.Popen[str]] = []

    def run() -> subprocess.Popen[str]:
        arguments = [sys.executable, str(DRIVER), json.dumps(asdict(tiny)), str(store.cache_dir), str(finished)]
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SERVER)},
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], line: str) -> list[str]:
    assert process.stdout is not None
    lines = []
    for read in process.stdout:
        lines.append(read.rstrip("\n"))
        if lines[-1] == line:
            return lines
    raise AssertionError(lines)


def test_a_second_pull_waits_says_so_and_finds_the_model(start: Start, store: ModelStore) -> None:
    first = start()
    read_until(first, "converting")
    second = start()
    read_until(second, "Another process is fetching tiny; waiting for it")
    first_out, _ = first.communicate("go on\n")
    second_out, _ = second.communicate()
    assert (first.returncode, second.returncode) == (0, 0)
    folder = str(store.cache_dir / "models" / "tiny")
    assert first_out.splitlines()[-1] == second_out.splitlines()[-1] == folder
    assert "converting" not in second_out


def test_a_killed_pull_leaves_a_temporary_folder_that_the_next_one_removes(
    start: Start, store: ModelStore, converter: Any
) -> None:
    process = start()
    read_until(process, "converting")
    process.send_signal(signal.SIGKILL)
    process.wait()
    models = store.cache_dir / "models"
    assert not (models / "tiny").exists()
    assert len(list(models.glob(".tiny.*.partial"))) == 1
    store.pull("tiny")
    assert sorted(path.name for path in models.iterdir()) == [".tiny.lock", "tiny"]
    assert converter.calls == 1


def test_a_pull_that_is_killed_while_it_repairs_leaves_the_old_files(
    start: Start, store: ModelStore, fetched: Path
) -> None:
    (fetched / "tokenizer.json").unlink()
    process = start()
    read_until(process, "converting")
    process.kill()
    process.wait()
    assert sorted(path.name for path in fetched.iterdir()) == [
        "config.json",
        "model.safetensors",
        "palaver-manifest.json",
    ]
