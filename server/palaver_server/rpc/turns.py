"""Long work on one request, one request at a time: many at once would hold up everybody's tokens together."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

LONG_BODY_BYTES = 64 * 1024
"""Reading so much JSON takes about a millisecond; a longer body is read beside the event loop."""

_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


def turn() -> asyncio.Lock:
    """The turn of this event loop: held by who works for longer than some milliseconds, in pieces or in a thread."""
    loop = asyncio.get_running_loop()
    lock = _turns.get(loop)
    if lock is None:
        lock = _turns[loop] = asyncio.Lock()
    return lock
