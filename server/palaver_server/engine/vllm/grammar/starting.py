"""How the compiling process begins: as a fork of the process that has imported everything, or anew."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import DEVNULL
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from typing import Protocol, cast

from palaver_server.engine.vllm.processes.children import ForkTarget, Main

MODULE = "palaver_server.engine.vllm.grammar.compiler"
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""A process that forks must not have threads."""


class Child(Protocol):
    """A process, as ``asyncio`` has it."""

    @property
    def pid(self) -> int:
        """Its number."""

    def kill(self) -> None:
        """End it at once."""

    async def wait(self) -> int:
        """Wait for its end."""


class _Fork:
    def __init__(self, process: BaseProcess) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def kill(self) -> None:
        self._process.kill()

    async def wait(self) -> int:
        await asyncio.to_thread(self._process.join)
        return self._process.exitcode or 0


async def start_compiler(owner: socket.socket, forks: ForkServerContext | None) -> Child:
    """Start a process that talks with its owner at the other end of this socket.

    Args:
        owner: its end of the connection. Still open here afterwards; to be closed.
        forks: the fork server (``processes/fork_server.py``), where it runs: a fork has the library at once and in
            shared memory. Else the process imports torch for seconds, and has half a gigabyte of its own.

    Raises:
        OSError: it does not start.
    """
    if forks is None:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-W", "ignore", "-m", MODULE, str(owner.fileno())),
            env=os.environ | _ONE_THREAD,
            pass_fds=[owner.fileno()],
            stdin=DEVNULL,
            # Ctrl-C at a terminal is for the server, which ends this when it is done. Not a session of its own: Linux
            # shares the processor among them, and one compiler would have as much of it as the engine.
            process_group=0,
        )
    target = cast("Main", ForkTarget(_enter))  # it is one in the fork
    process = forks.Process(target=target, args=(owner,), daemon=True)
    await asyncio.to_thread(process.start)
    return _Fork(process)


def _enter() -> Main:
    """In the fork. No guard, which is a thread: the process ends with its owner's socket."""
    os.setpgid(0, 0)
    from palaver_server.engine.vllm.grammar import compiler  # noqa: PLC0415  # not in the owner

    return compiler.serve
