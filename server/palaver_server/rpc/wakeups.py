"""Wakes the event loop once for all that gRPC has finished, instead of once for each thing.

grpcio's own thread tells the event loop of every operation that has finished, such as a message that was sent, by a
byte through a pair of sockets. Whenever a byte is there, the loop calls grpcio, which reads one byte and then takes all
that has finished (``completion_queue.pyx.pxi``, ``_handle_events``). After a burst of messages there are as many bytes
as messages, and the loop goes round for each of them with nothing left to do.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

MAX_BYTES = 4096
"""More operations than ever are under way; what is left beyond is read the next time."""


@contextmanager
def taken_together() -> Iterator[None]:
    """Have grpcio listened to so in the running event loop, if the body is what binds it to that: the first server."""
    loop: Any = asyncio.get_running_loop()
    add_reader = loop.add_reader

    def add_sparing_reader(pipe: socket.socket, callback: Callable[[], object]) -> None:
        add_reader(pipe, _take, pipe, callback)

    try:
        loop.add_reader = add_sparing_reader
    except AttributeError:  # another kind of loop may not let its methods be replaced
        yield
        return
    try:
        yield
    finally:
        del loop.add_reader


def _take(pipe: socket.socket, callback: Callable[[], object]) -> None:
    """Read all bytes but the one that the callback reads, and call it."""
    with suppress(BlockingIOError):
        count = len(pipe.recv(MAX_BYTES, socket.MSG_PEEK))
        if count > 1:
            pipe.recv(count - 1)
    callback()
