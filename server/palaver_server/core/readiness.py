"""Whether the server can answer chats: the AND of named reasons, and who waits to hear of a change."""

from __future__ import annotations

import asyncio
from enum import StrEnum, unique


@unique
class NotReady(StrEnum):
    """Why the server does not answer chats."""

    LOADING = "loading"
    LEAVING = "leaving"
    """Health says no, so that load balancers look away; calls are still taken, because balancers lag."""
    DRAINING = "draining"
    """New calls are refused; those that run may end."""
    ENGINE_FAILED = "engine failed"


class Readiness:
    """The set of reasons against serving. Ready when it is empty. Belongs to one event loop."""

    def __init__(self, *reasons: NotReady) -> None:
        self._reasons = set(reasons)
        self._changed = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """No reason stands against serving."""
        return not self._reasons

    @property
    def is_accepting(self) -> bool:
        """A chat that arrives now is taken; a little longer true than ``is_ready`` when the server stops."""
        return self._reasons <= {NotReady.LEAVING}

    def __contains__(self, reason: NotReady) -> bool:
        return reason in self._reasons

    def __repr__(self) -> str:
        return f"Readiness({', '.join(sorted(self._reasons)) or 'ready'})"

    def add(self, reason: NotReady) -> None:
        """State a reason against serving."""
        if reason not in self._reasons:
            self._reasons.add(reason)
            self._notify()

    def remove(self, reason: NotReady) -> None:
        """Take a reason back."""
        if reason in self._reasons:
            self._reasons.remove(reason)
            self._notify()

    async def changed(self) -> None:
        """Return after the next change of any reason.

        Look at the state and await this with no await between, or a change in between is missed.
        """
        await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
