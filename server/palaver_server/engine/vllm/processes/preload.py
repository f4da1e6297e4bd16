"""What the fork server does before it forks anything: imported there alone, by its name (``fork_server.py``)."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
from contextlib import suppress
from importlib import import_module

from palaver_server.engine.vllm.processes.names import take_name
from palaver_server.engine.vllm.start import log_relay
from palaver_server.engine.vllm.start.environment import OWNER_VARIABLE

PR_SET_PDEATHSIG = 1
"""prctl(2), linux/prctl.h."""
MODULES = (
    "vllm.v1.engine.core",
    "vllm.v1.executor.multiproc_executor",
    "vllm.v1.structured_output.backend_xgrammar",
    "vllm.v1.worker.cpu_worker",
)
"""What an engine core and its workers import before anything else, with nearly all that these import."""


def _end_with_the_owner() -> None:
    """Have the kernel end this process when the thread that started it ends: the server's main thread.

    The guard of the engine's processes (``orphans.py``) is a thread, and a process that forks must have none.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(os.environ.get(OWNER_VARIABLE, "0")):  # it ended before
        os._exit(1)


def _import_vllm() -> None:
    gc.disable()  # a fifth of the time: the collector would go through ever more modules, and find nothing
    for module in MODULES:
        # Who is forked imports it again, fails in the same way, and is listened to.
        with suppress(Exception):
            import_module(module)
    # What is here now is shared by all forks, as long as none of them writes to it.
    gc.freeze()


_end_with_the_owner()
take_name("ForkServer")
# A signal to the whole group of a terminal or service must not end the engine, which takes the end of this process for
# its own core's.
os.setpgid(0, 0)
log_relay.install()
_import_vllm()
