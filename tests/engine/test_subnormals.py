"""Subnormal numbers are none in a worker without a GPU, in each of its threads, however it began."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from palaver_server.engine.vllm.processes.fork_server import is_built_for_cpu

WORKER = """
import os
import sys
import torch
from vllm.v1.executor.multiproc_executor import WorkerProc
from palaver_server.engine.vllm.processes import children

def compute():
    products = torch.full((1 << 20,), 2e-38) * 0.25  # so many that each thread has its share
    print(torch.get_num_threads(), int(products.count_nonzero()), flush=True)

WorkerProc.worker_main = compute
os.environ["GOMP_CPU_AFFINITY"] = os.environ.pop("LATER")  # so late has a fork it
{"forked": children.WorkerTarget(compute), "begun anew": children.run_worker, "untouched": compute}[sys.argv[1]]()
"""


def left_in_worker(how: str) -> int:
    """How many of a million subnormal products are not zero."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        pytest.skip("one core")
    environment = os.environ | {"LATER": " ".join(map(str, cores)), "OMP_NUM_THREADS": "2", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", WORKER, how]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=True)
    threads, left = map(int, run.stdout.split()[-2:])
    assert threads == 2
    return left


@pytest.mark.parametrize(
    "how",
    ["forked", pytest.param("begun anew", marks=pytest.mark.skipif(not is_built_for_cpu(), reason="vLLM is for GPUs"))],
)
def test_worker_takes_zero_for_them(how: str) -> None:
    assert left_in_worker(how) == 0


def test_processor_would_compute_with_them() -> None:
    assert left_in_worker("untouched") == 1 << 20
