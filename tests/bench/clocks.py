"""CPU time of processes, to the nanosecond."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

_libc = ctypes.CDLL(None)

ENGINE_TITLE = "VLLM::"
"""How the names of vLLM's own processes begin."""


@dataclass(frozen=True, slots=True)
class Processes:
    """Process ids, by what their work counts as."""

    front_end: tuple[int, ...]
    engine: tuple[int, ...]
    client: tuple[int, ...]

    @classmethod
    def of(cls, *servers: int) -> Processes:
        """Servers and all that they have started, asked by this process.

        What vLLM has named an engine or a worker is the engine, with its children. All else works for the front end.
        """
        started = {pid for server in servers for pid in (server, *descendants(server))}
        cores = {pid for pid in started if psutil.Process(pid).name().startswith(ENGINE_TITLE)}
        engine = cores | {child for core in cores for child in descendants(core)}
        return cls(tuple(started - engine), tuple(engine), (os.getpid(),))


def descendants(pid: int) -> tuple[int, ...]:
    """Every process that this one has started, directly or not."""
    return tuple(child.pid for child in psutil.Process(pid).children(recursive=True))


def pss_mib(pids: Sequence[int]) -> float:
    """Memory of processes in MiB: what nobody shares with each, and its part of what others do.

    ``Pss`` of /proc/PID/smaps_rollup.
    """
    return sum(float(psutil.Process(pid).memory_full_info().pss) for pid in pids) / 2**20


class CpuClock:
    """CPU seconds, user and system, that some processes have used together; threads that have ended count.

    clock_getcpuclockid(3): the counters of /proc would tell hundredths of a second only.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._clocks = [_clock_of(pid) for pid in pids]

    def seconds(self) -> float:
        """So far."""
        return sum(time.clock_gettime(clock) for clock in self._clocks)


def _clock_of(pid: int) -> int:
    clock = ctypes.c_int()
    if error := _libc.clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise ProcessLookupError(f"the CPU time of process {pid} cannot be read: {os.strerror(error)}")
    return clock.value
