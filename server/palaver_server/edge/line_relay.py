"""Passes lines of one program on where another writes too, so that none is torn.

Envoy writes its access log in pieces of 4 KB that end anywhere. Where standard error is a pipe, as for a supervisor or
a container, a line of the server's came into the middle of one of Envoy's, and no reader of JSON lines took either.
Linux keeps a write to a pipe in one piece up to ``PIPE_BUF`` bytes (pipe(7)): whole lines, so many at a time.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator
from contextlib import suppress

READ_BYTES = 64 * 1024


class LineRelay:
    """Copies lines from a pipe of its own to a file descriptor, in a thread: nobody's tokens wait for a log."""

    def __init__(self, target: int) -> None:
        self._source, self.write_end = os.pipe()
        """The end that the program gets; the caller closes its own copy with ``begin``."""
        self._thread = threading.Thread(target=self._copy, args=(target,), name="access log", daemon=True)

    def begin(self) -> None:
        """Copy until the program, to which the pipe belongs from now on alone, has closed it."""
        os.close(self.write_end)
        self._thread.start()

    def finish(self, seconds: float) -> None:
        """Wait until the last line is out, or for so long."""
        self._thread.join(seconds)

    def _copy(self, target: int) -> None:
        rest = b""
        with suppress(OSError):  # nobody reads any more: the program must not wait for us
            while data := os.read(self._source, READ_BYTES):
                whole, _, rest = (rest + data).rpartition(b"\n")
                for piece in _pieces(whole):
                    _write(target, piece)
            for piece in _pieces(rest):
                _write(target, piece)
        os.close(self._source)


def _write(target: int, piece: bytes) -> None:
    while piece:
        try:
            piece = piece[os.write(target, piece) :]
        except BlockingIOError:  # whoever shares a terminal with us may have set it so
            select.select((), (target,), ())


def _pieces(lines: bytes) -> Iterator[bytes]:
    """Whole lines, as many at a time as go out in one."""
    piece = b""
    for line in lines.split(b"\n") if lines else ():
        ended = line + b"\n"
        if piece and len(piece) + len(ended) > select.PIPE_BUF:
            yield piece
            piece = b""
        piece += ended
    if piece:
        yield piece
