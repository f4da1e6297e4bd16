"""What an engine's processes have in common with ones that began anew: libraries, and threads on their cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from palaver_server.engine.vllm.processes import openmp
from palaver_server.engine.vllm.processes.fork_server import ForkServer

BINDING = """
import json, os
from palaver_server.engine.vllm.processes.openmp import bind_threads
bind_threads()
import torch
cores = {int(thread): sorted(os.sched_getaffinity(int(thread))) for thread in os.listdir("/proc/self/task")}
print(json.dumps({"first": cores.pop(os.getpid()), "others": sorted(cores.values()), "count": torch.get_num_threads()}))
"""


def bound(cores: list[int]) -> dict[str, object]:
    environment = os.environ | {
        "GOMP_CPU_AFFINITY": " ".join(map(str, cores)),
        "LD_PRELOAD": openmp.libraries() or "",
        "PYTHONWARNINGS": "ignore",
    }
    # GNU OpenMP would read the variable when it is loaded: a fork has it only later.
    late = "import os; os.environ['GOMP_CPU_AFFINITY'] = os.environ.pop('LATER')\n"
    environment["LATER"] = environment.pop("GOMP_CPU_AFFINITY")
    command = [sys.executable, "-c", late + BINDING]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=True)
    found: dict[str, object] = json.loads(run.stdout)
    return found


def test_each_thread_of_a_forked_worker_has_a_core_of_its_own() -> None:
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        pytest.skip("one core")
    found = bound(cores)
    assert (found["first"], found["count"]) == ([cores[0]], 2)
    assert [cores[1]] in found["others"]  # type: ignore[operator]


def test_one_core_is_one_thread() -> None:
    core = min(os.sched_getaffinity(0))
    found = bound([core])
    assert (found["first"], found["count"]) == ([core], 1)


def test_the_libraries_of_a_fork_are_those_that_vllm_would_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    chosen = (openmp.libraries() or "").split(":")
    assert Path(chosen[-1]).name.startswith("libgomp")  # before it an allocator, where vLLM's package brings one
    assert all(Path(library).is_file() for library in chosen)
    monkeypatch.setenv("LD_PRELOAD", f"/mine/libgomp.so:{chosen[0]}")
    assert openmp.libraries() == f"/mine/libgomp.so:{chosen[0]}"


def test_an_operators_own_openmp_is_left_to_processes_that_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "/opt/intel/libiomp5.so")
    server = ForkServer()
    server.start()
    assert server.context() is None
    server.end()
