"""Lines alike are written so many times a minute; what comes beyond is counted, and told once.

So that ten thousand refused calls, or a library that complains at every step, cannot fill a disk. Lines of calls that
went well are not held back: they are one a call.
"""

from __future__ import annotations

import copy
import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_SECONDS = 60.0
MAX_KINDS = 1000
"""Lines of a kind that is new beyond these count as alike if they come from one logger. Ours are some dozens."""
_NUMBERS = re.compile(r"\d+")
_KIND_CHARACTERS = 200
_KEPT = ("event", "logger", "level", "time", "method", "code", "reason", "cause", "front_end")
"""What is still true of many lines alike, or at least of the last."""

Kind = tuple[str | int, ...]


@dataclass(slots=True)
class _Window:
    ends: float
    written: int = 0
    held_back: int = 0
    last: logging.LogRecord | None = None


class Repetition(logging.Filter):
    """A filter of one handler.

    Args:
        limit: lines of a kind in a minute; 0 holds nothing back.
        write: writes the line that tells how many there were.
        window_seconds: the minute.
    """

    def __init__(
        self, limit: int, write: Callable[[logging.LogRecord], None], *, window_seconds: float = WINDOW_SECONDS
    ) -> None:
        super().__init__()
        self._limit = limit
        self._write = write
        self._seconds = window_seconds
        self._windows: dict[Kind, _Window] = {}
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether to write a line; one that is not is counted."""
        kind = _kind(record)
        if kind is None or not self._limit:
            return True
        now = time.monotonic()
        with self._lock:
            if kind not in self._windows and len(self._windows) >= MAX_KINDS:
                kind = kind[:2]
            window = self._windows.get(kind)
            if window is None or window.ends <= now:
                ended, self._windows[kind] = window, _Window(now + self._seconds, written=1)
                is_held_back = False
            else:
                ended, is_held_back = None, window.written >= self._limit
                window.written += not is_held_back
                if is_held_back:
                    window.held_back += 1
                    window.last = record
                    self._have_told()
        if ended is not None:
            self._tell(ended)
        return not is_held_back

    def tell_all(self) -> None:
        """Write what was counted so far."""
        self._end_windows(float("inf"))

    def _have_told(self) -> None:
        """See to it that it is told though nothing more comes. One timer does for all kinds."""
        if self._timer is None:
            self._timer = threading.Timer(self._seconds, self._end_old_windows)
            self._timer.daemon = True
            self._timer.start()

    def _end_old_windows(self) -> None:
        with self._lock:
            self._timer = None
        self._end_windows(time.monotonic())
        with self._lock:
            if self._windows:
                self._have_told()

    def _end_windows(self, moment: float) -> None:
        with self._lock:
            old = [kind for kind, window in self._windows.items() if window.ends <= moment]
            ended = [self._windows.pop(kind) for kind in old]
        for window in ended:
            self._tell(window)

    def _tell(self, window: _Window) -> None:
        if window.last is None:
            return
        told = copy.copy(window.last)
        if isinstance(told.msg, dict):
            kept = {name: told.msg[name] for name in _KEPT if name in told.msg}
            told.msg = {**kept, "repeated": window.held_back, "within_seconds": self._seconds}
        else:
            told.msg = f"{window.last.getMessage()} (repeated {window.held_back} times within {self._seconds:g} s)"
            told.args = None
        self._write(told)


def _kind(record: logging.LogRecord) -> Kind | None:
    """What a line has in common with others like it; None for one that is always written."""
    if not isinstance(record.msg, dict):
        text = _NUMBERS.sub("", record.getMessage())
        return record.name, record.levelno, text[:_KIND_CHARACTERS]
    event = record.msg
    if event.get("code") == "OK":
        return None
    return (record.name, record.levelno, *(str(event.get(name, "")) for name in ("event", "method", "code", "reason")))
