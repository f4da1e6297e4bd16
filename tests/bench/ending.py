"""How the programs of this folder end: with their result, or with one line that says why there is none."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import click

from tests.bench.processes import BenchError

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130

Result = TypeVar("Result")


def run_to_its_end(name: str, work: Coroutine[Any, Any, Result], *, exit_failed: int = EXIT_FAILED) -> Result:
    """Run a program's work; Ctrl-C and SIGTERM cancel it, so that it ends its processes.

    Args:
        name: of the program, for messages.
        work: what it does.
        exit_failed: the exit status where it cannot go on.
    """
    try:
        return asyncio.run(_cancelled_by_signal(work))
    except BenchError as error:
        click.echo(f"{name}: {error}", err=True)
        sys.exit(exit_failed)
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo(f"{name}: interrupted; every process has ended, nothing was written", err=True)
        sys.exit(EXIT_INTERRUPTED)


async def _cancelled_by_signal(work: Coroutine[Any, Any, Result]) -> Result:
    running = asyncio.current_task()
    assert running is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)  # as Ctrl-C does
    return await work
