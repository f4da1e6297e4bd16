"""The calls that run at this moment, and how to end them with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Container
from contextlib import asynccontextmanager
from dataclasses import dataclass

from palaver_server.core.errors import PalaverError
from palaver_server.core.identity.client import Client


@dataclass(eq=False, slots=True)
class _RunningCall:
    scope: asyncio.Timeout
    client: Client
    error: PalaverError | None = None


class RunningCalls:
    """Knows every call in progress. Belongs to one event loop."""

    def __init__(self) -> None:
        self._calls: set[_RunningCall] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._calls)

    @asynccontextmanager
    async def call(self, client: Client) -> AsyncIterator[None]:
        """Count the body as a running call of a client; ``end`` ends it from outside.

        Raises:
            PalaverError: made by what was given to ``end``, in the task that runs the body, at its next await.
        """
        # A timeout without a time is asyncio's own way to stop a body from outside and to tell that from a
        # cancellation by the task's owner.
        running = _RunningCall(asyncio.timeout(None), client)
        self._calls.add(running)
        self._idle.clear()
        try:
            async with running.scope:
                yield
        except TimeoutError:
            if running.error is None:
                raise
            raise running.error from None
        finally:
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
        """End every running call, or those of some keys, as soon as their tasks run again; return how many.

        One error object for all would collect, and keep alive, the frames of every call that raised it.
        """
        now = asyncio.get_running_loop().time()
        ended = 0
        for running in self._calls:
            if running.error is None and (key_ids is None or running.client.key_id in key_ids):
                running.error = make_error()
                running.scope.reschedule(now)
                ended += 1
        return ended
