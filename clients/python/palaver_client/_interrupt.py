"""Keeps Ctrl-C from falling between the start of a call and the moment that somebody holds it.

grpcio starts a call some instructions before it returns it. A KeyboardInterrupt in between would leave a call that
nobody can cancel and that the server works on until its deadline.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def interrupt_deferred() -> Iterator[None]:
    """Let Ctrl-C do what it does at the end of the block rather than within. Meant for microseconds."""
    handler = signal.getsignal(signal.SIGINT)
    came: list[FrameType | None] = []
    is_deferred = False
    if callable(handler) and threading.current_thread() is threading.main_thread():  # no other thread is interrupted
        with contextlib.suppress(ValueError):  # the main thread of a subinterpreter, which gets no signals either
            signal.signal(signal.SIGINT, lambda _, frame: came.append(frame))
            is_deferred = True
    try:
        yield
    finally:
        if is_deferred:
            signal.signal(signal.SIGINT, handler)
            if came and callable(handler):
                handler(signal.SIGINT, came[0])
