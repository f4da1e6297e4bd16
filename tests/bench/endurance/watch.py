"""Looks at the server's memory and descriptors while it is called."""

from __future__ import annotations

import psutil
from pydantic import BaseModel

from tests.bench.clocks import Processes, pss_mib


class Look(BaseModel):
    """One look."""

    calls: int
    """That had ended by then."""
    front_end_mib: float
    """What no other process shares with it, and its part of what others do (``Pss``)."""
    engine_mib: float
    descriptors: int
    """Open in the server's processes without the engine's: files, sockets, pipes."""
    threads: int


def look(processes: Processes, calls: int) -> Look:
    """Look now."""
    front_end = [psutil.Process(pid) for pid in processes.front_end]
    return Look(
        calls=calls,
        front_end_mib=round(pss_mib(processes.front_end), 2),
        engine_mib=round(pss_mib(processes.engine), 2),
        descriptors=sum(process.num_fds() for process in front_end),
        threads=sum(process.num_threads() for process in front_end),
    )
