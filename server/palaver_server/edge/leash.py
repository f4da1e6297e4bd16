"""Becomes another program that ends when the process that started it ends, however that happens.

``python -m palaver_server.edge.leash OWNER_PID PROGRAM ARGUMENTS...``. Envoy knows no owner: it would outlive a server
that is killed, and keep the port. ``PR_SET_PDEATHSIG`` outlives ``exec`` and fires when the *thread* that forked ends,
so it is the owner's main thread that has to start this.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""prctl(2)."""


def tie_to(owner: int) -> None:
    """End this process, also as another program, as soon as the thread that started it ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != owner:  # it has ended before the tie held
        sys.exit(1)


def main() -> None:
    """Tie this process to its owner and become the program."""
    owner, program, *arguments = sys.argv[1:]
    tie_to(int(owner))
    os.execv(program, [program, *arguments])  # noqa: S606  # no shell is the point


if __name__ == "__main__":
    main()
