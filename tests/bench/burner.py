"""A process that burns CPU time on demand.

A peer that is measured without a network has no load client beside it, and would have cores to itself that the others
share with theirs. The burner takes what the client would take, token by token.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from ctypes import c_double
from multiprocessing.sharedctypes import RawValue

LOOK_SECONDS = 0.001
"""Between two looks at what is owed; about what a client sleeps between messages under load."""
MAX_DEBT_SECONDS = 0.2
"""What could not be burnt is forgotten beyond this, so that one measurement does not burden the next."""


class Burner:
    """Burns beside this process until closed, or until this process is gone."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # forking is not safe once an engine has threads
        self._owed = RawValue(c_double, 0.0)  # one writer, so no lock
        self._process = context.Process(target=_burn, args=(self._owed, os.getpid()), name="burner", daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """The burner's process id."""
        assert self._process.pid is not None
        return self._process.pid

    def owe(self, seconds: float) -> None:
        """Have so much more CPU time burnt."""
        self._owed.value += seconds

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()


def _burn(owed: c_double, owner: int) -> None:
    began = time.process_time()  # moves on so that nothing is paid in advance and little is left unpaid
    while os.getppid() == owner:
        now, due = time.process_time(), owed.value
        began = min(max(began, now - due), now - due + MAX_DEBT_SECONDS)
        if now - began >= due:
            time.sleep(LOOK_SECONDS)
