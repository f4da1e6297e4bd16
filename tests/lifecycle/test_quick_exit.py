"""A process that ends quickly loses nothing but the interpreter's own clearing up."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import atexit, sys
from palaver_server.quick_exit import QuickExit

class Witness:
    def __del__(self):
        print("taken apart", flush=True)

quick_exit, witness = QuickExit(), Witness()
atexit.register(print, "what was registered")
print("what was said")
{}
"""


def run(end: str) -> tuple[list[str], int]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(end)], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout.splitlines(), done.returncode


def test_what_is_registered_runs_and_what_was_said_is_written() -> None:
    assert run("sys.exit(quick_exit.with_status(3))") == (["what was said", "what was registered"], 3)


def test_an_exception_ends_python_as_usual() -> None:
    assert run("raise SystemError") == (["what was said", "what was registered", "taken apart"], 1)
