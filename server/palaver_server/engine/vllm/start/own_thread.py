"""A thread that nobody waits for.

Building an engine blocks, and cannot be interrupted: importing vLLM takes seconds, and an engine that another process
starts may never come. A thread of an executor would be waited for at the process's end.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")
Outcome = TypeVar("Outcome")


def begin(work: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Do something in a thread of its own; the future has what comes of it, for whoever still asks."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    # Or asyncio would log that nobody has asked for it.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())

    def settle(how: Callable[[Outcome], None], outcome: Outcome) -> None:
        if not future.done():
            how(outcome)

    def tell(how: Callable[[Outcome], None], outcome: Outcome) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, how, outcome)

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  # whatever it is, who waits is told
            tell(future.set_exception, error)
        else:
            tell(future.set_result, result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
