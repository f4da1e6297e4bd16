"""The calls that run at this moment, and how to end them with a reason.

A call is never broken off while it hands an event on: half a message could be on its way, and the words that say why
the call ends could not follow it. It ends where it waits, for room, for the engine or for an event, or when it asks for
the next event.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Container
from contextlib import asynccontextmanager
from typing import Self

from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.events import Event
from palaver_server.core.identity.client import Client


class RunningCall(AsyncIterator[Event]):
    """One call in progress, and the events of its answer once ``answer_with`` has been told of them."""

    __slots__ = ("_answer", "_cancelling", "_is_broken_off", "_next", "_task", "client", "error")

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
        self._answer: AsyncGenerator[Event, None] | None = None
        self._next: Callable[[], Awaitable[Event]]

    def answer_with(self, events: AsyncGenerator[Event, None]) -> Self:
        """Take the events from an engine's own generator; nothing but a look at ``error`` is added to it."""
        self._answer, self._next = events, events.__anext__
        return self

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[Event]:
        if self.error is not None:
            raise self.error
        return self._next()

    def end(self, error: PalaverError) -> None:
        """End the call with this error; the first error counts."""
        if self.error is not None:
            return
        self.error = error
        # A generator that runs is one that this task waits in; else the task is handing an event on.
        if self._answer is None or getattr(self._answer, "ag_running", True):
            self._is_broken_off = True
            self._task.cancel()

    def left(self) -> bool:
        """Tell, when the call's body has been left, whether it was broken off by ``end`` and by nobody else."""
        return self._is_broken_off and self._task.uncancel() <= self._cancelling


class RunningCalls:
    """Knows every call in progress. Belongs to one event loop."""

    def __init__(self) -> None:
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


def _too_late() -> PalaverError:
    return PalaverError(Reason.DEADLINE_EXCEEDED, "The answer was not whole when the deadline came.")
