"""A child process that cannot outlive its work: its lines are read, and it ends when the reader leaves."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

TICK_SECONDS = 0.5
END_SECONDS = 5.0
"""How long a child may take to end before it is killed."""


def run(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    on_line: Callable[[str], None],
    on_tick: Callable[[], None],
) -> int:
    """Run a program to its end in ``folder``; return its exit status, negative for the signal that ended it.

    ``on_line`` gets every line of its standard output and error. ``on_tick`` is called at least every half second, so
    that a caller can show that time passes, or raise to cancel. On any exception the child and its children are ended.
    The child's standard input is a pipe that closes when this process dies, however it dies.
    """
    process = subprocess.Popen(  # noqa: S603 - programs of this package, no shell, no text of a user
        arguments,
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,  # Ctrl-C reaches this process alone, which then ends the child in order
    )
    with process:
        try:
            _read_lines(process, on_line, on_tick)
            return process.wait()
        finally:
            _end(process)


def _read_lines(process: subprocess.Popen[bytes], on_line: Callable[[str], None], on_tick: Callable[[], None]) -> None:
    output = process.stdout
    if output is None:
        raise AssertionError
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            if selector.select(TICK_SECONDS):
                chunk = os.read(output.fileno(), 65536)
                if not chunk:
                    break
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    on_line(line.decode(errors="replace").rstrip("\r"))
            on_tick()
    if rest:
        on_line(rest.decode(errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
