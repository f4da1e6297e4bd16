"""No engine process outlives the server that owns it, not even one that was killed with SIGKILL.

vLLM's engine core and workers stay for ever when their parent is killed (tried with 0.32: still there after 90
seconds). ``PR_SET_PDEATHSIG`` does not help: it fires when the *thread* that started the child ends, and the engine is
built in a thread that ends. So each of them waits on a file descriptor of the owner's process.

``install`` is a ``vllm.general_plugins`` entry point too (``pyproject.toml``), for workers that are not started through
``children.py``, such as those of Ray.
"""

from __future__ import annotations

import functools
import os
import select
import signal
import threading
import time
from pathlib import Path

from palaver_server.engine.vllm.start.environment import FOLDER_VARIABLE, OWNER_VARIABLE, remove_engine_folder

POLL_SECONDS = 0.5
"""Where the kernel or a sandbox has no pidfd."""


def install() -> None:
    """End this process as soon as its owner is gone. Nothing happens in the owner, or outside an engine."""
    owner = int(os.environ.get(OWNER_VARIABLE, "0"))
    if owner not in (0, os.getpid()):
        _start_guard(owner, os.getpid())


@functools.cache  # vLLM may load a plugin several times in one process; a fork has the memory of it, and no thread
def _start_guard(owner: int, _guarded: int) -> None:
    threading.Thread(target=_end_with, args=(owner,), name="parent guard", daemon=True).start()


def _end_with(owner: int) -> None:
    _wait_gone(owner)
    # Nobody else is left to clear up; whoever of the engine's processes comes second finds nothing.
    if folder := os.environ.get(FOLDER_VARIABLE):
        remove_engine_folder(Path(folder))
    os.kill(os.getpid(), signal.SIGKILL)


def _wait_gone(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError:
        while os.path.exists(f"/proc/{pid}"):  # noqa: PTH110  # no object a poll
            time.sleep(POLL_SECONDS)
        return
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll()
