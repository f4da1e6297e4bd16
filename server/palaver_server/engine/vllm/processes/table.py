"""The processes of this server's engine: which they are, and that none is left."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Set as AbstractSet
from contextlib import suppress

import psutil

NAMES = ("EngineCore", "VLLM_DP_Coordinator")
"""What vLLM calls the processes that it starts in the server. The workers are in their engine core's process group."""

INSPECTOR_MODULE = "vllm.model_executor.models.registry"

POLL_SECONDS = 0.02
"""Nobody tells of the end of a process that is not a child."""


def leaders() -> set[int]:
    """Process ids of the engine's processes that are this process's own children."""
    children = multiprocessing.active_children()
    return {child.pid for child in children if child.pid is not None and child.name.startswith(NAMES)}


def inspectors() -> list[psutil.Process]:
    """List the short-lived processes in which vLLM looks at a model's class, where there is a GPU."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if INSPECTOR_MODULE in child.cmdline():
                found.append(child)
    return found


def members(leader_pids: AbstractSet[int]) -> list[psutil.Process]:
    """List who lives of these processes and of their process groups.

    A worker whose engine core has died is nobody's descendant any more, but still in the group; and the kernel gives a
    group's number to no new process while one member lives.
    """
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and (process.pid in leader_pids or _group(process.pid) in leader_pids)
    ]


def kill(processes: list[psutil.Process]) -> None:
    """End processes at once, and those that they have started meanwhile."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()  # so that it starts nobody after its children are listed
            for descendant in process.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    descendant.kill()
            process.kill()


def wait_gone(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until they have ended, at most so long, and return those that have not. Blocks."""
    until = time.monotonic() + seconds
    while (alive := [process for process in processes if _is_running(process)]) and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
    return alive


def _group(pid: int) -> int | None:
    with suppress(ProcessLookupError):
        return os.getpgid(pid)
    return None


def _is_running(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        # A zombie has ended and holds nothing. Where its parent is gone, it waits for init, which takes its time, or is
        # this very process, which does not look for it.
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False
