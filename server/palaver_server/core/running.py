"""The calls that run at this moment, and how to end them with a reason.

A call ends where it waits, for room, for the engine or for an event, or when it asks for the next event. While it
hands an event on it is let be for a moment, so that the words that say why it ends can follow; but who does not read
holds nothing for ever: such a call is broken off, soon where it was told to end, later where nobody said so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Container
from contextlib import asynccontextmanager
from typing import Self

from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.events import Event
from palaver_server.core.identity.client import Client

LAST_WRITE_SECONDS = 2.0
"""What a call that was told to end may take to hand on the event that it has."""
LOOK_SECONDS = 1.0
"""How often at most it is looked whether a reader has come on; a reader with less time is looked after more often."""
LOOKS = 4
"""Looks within the time that a reader has."""


class RunningCall(AsyncIterator[Event]):
    """One call in progress, and the events of its answer once ``answer_with`` has been told of them."""

    __slots__ = (
        *("_answer", "_cancelling", "_has_moved", "_is_broken_off", "_last_write", "_moved_at", "_next", "_task"),
        *("client", "error"),
    )

    def __init__(self, client: Client) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call runs in a task")
        self.client = client
        self.error: PalaverError | None = None
        """Why it ends, once it shall end."""
        self._task = task
        self._cancelling = task.cancelling()
        self._is_broken_off = False
        self._last_write: asyncio.TimerHandle | None = None
        self._has_moved = True
        self._moved_at = 0.0
        self._answer: AsyncGenerator[Event, None] | None = None
        self._next: Callable[[], Awaitable[Event]]

    def answer_with(self, events: AsyncGenerator[Event, None]) -> Self:
        """Take the events from an engine's own generator; a look at ``error`` and a mark are all that is added."""
        self._answer, self._next = events, events.__anext__
        return self

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[Event]:
        if self.error is not None:
            self._leave()
            raise self.error
        self._has_moved = True
        return self._next()

    def end(self, error: PalaverError) -> None:
        """End the call with this error; the first error counts."""
        if self.error is not None:
            return
        self.error = error
        if self._is_handing_on:
            self._last_write = asyncio.get_running_loop().call_later(LAST_WRITE_SECONDS, self._break_off)
        else:
            self._break_off()

    def look(self, now: float, slow_reader_seconds: float) -> None:
        """End the call if it has been handing one event on for so long.

        Args:
            now: the event loop's time.
            slow_reader_seconds: what one event may take.
        """
        if self._has_moved or not self._is_handing_on:
            self._has_moved, self._moved_at = False, now
        elif self.error is None and now - self._moved_at >= slow_reader_seconds:
            self.error = _too_slow(slow_reader_seconds)
            self._break_off()

    @property
    def unread_seconds(self) -> float | None:
        """For how long its reader has taken no event, since the last look at which it had; None where none waits."""
        # A generator without a frame has ended, whole or by what broke the call off while it waited for the engine.
        if not self._is_handing_on or getattr(self._answer, "ag_frame", None) is None:
            return None
        return 0.0 if self._has_moved else asyncio.get_running_loop().time() - self._moved_at

    def left(self) -> bool:
        """Tell, when the call's body has been left, whether it was broken off by ``end`` and by nobody else."""
        self._leave()
        return self._is_broken_off and self._task.uncancel() <= self._cancelling

    @property
    def _is_handing_on(self) -> bool:
        # A generator that runs is one that this task waits in; else the task is handing an event on.
        return self._answer is not None and not getattr(self._answer, "ag_running", True)

    def _break_off(self) -> None:
        self._is_broken_off = True
        self._task.cancel()

    def _leave(self) -> None:
        if self._last_write is not None:
            self._last_write.cancel()


class RunningCalls:
    """Knows every call in progress. Belongs to one event loop.

    Args:
        slow_reader_seconds: what a reader may take for one event before its call ends with ``READER_TOO_SLOW``, give
            or take a part of it.
    """

    def __init__(self, slow_reader_seconds: float) -> None:
        self.slow_reader_seconds = slow_reader_seconds
        self._look: asyncio.TimerHandle | None = None
        self._calls: set[RunningCall] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._calls)

    @asynccontextmanager
    async def call(self, client: Client, *, until: float | None = None) -> AsyncIterator[RunningCall]:
        """Count the body as a running call of a client; ``end`` ends it from outside.

        Args:
            client: who calls.
            until: when it ends with ``DEADLINE_EXCEEDED``, on the event loop's clock; None for never.

        Raises:
            PalaverError: the one that ends it, in the task that runs the body.
        """
        running = RunningCall(client)
        deadline = None
        if until is not None:
            deadline = asyncio.get_running_loop().call_at(until, lambda: running.end(_too_late()))
        self._calls.add(running)
        self._idle.clear()
        if self._look is None:
            self._look_later()
        was_ended = False
        try:
            try:
                yield running
            finally:
                was_ended = running.left()
        except asyncio.CancelledError:
            if was_ended and running.error is not None:
                raise running.error from None
            raise
        finally:
            if deadline is not None:
                deadline.cancel()
            self._calls.discard(running)
            if not self._calls:
                self._idle.set()
                if self._look is not None:
                    self._look.cancel()
                    self._look = None

    async def wait_idle(self, seconds: float) -> bool:
        """Wait until no call runs, at most so long; True if none does."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def end(self, make_error: Callable[[], PalaverError], key_ids: Container[str | None] | None = None) -> int:
        """End every running call, or those of some keys; return how many.

        One error object for all would collect, and keep alive, the frames of every call that raised it.
        """
        ended = [
            running
            for running in self._calls
            if running.error is None and (key_ids is None or running.client.key_id in key_ids)
        ]
        for running in ended:
            running.end(make_error())
        return len(ended)

    def _look_later(self) -> None:
        seconds = min(self.slow_reader_seconds / LOOKS, LOOK_SECONDS)
        self._look = asyncio.get_running_loop().call_later(seconds, self._look_at_all)

    def _look_at_all(self) -> None:
        now = asyncio.get_running_loop().time()
        for running in self._calls:
            running.look(now, self.slow_reader_seconds)
        self._look_later()


def _too_slow(seconds: float) -> PalaverError:
    return PalaverError(
        Reason.READER_TOO_SLOW,
        f"The answer was not read: one message has waited for {seconds:g} s. Read the stream as it comes.",
    )


def _too_late() -> PalaverError:
    return PalaverError(Reason.DEADLINE_EXCEEDED, "The answer was not whole when the deadline came.")
