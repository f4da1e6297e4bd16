"""The other front ends of a server, from their start to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from palaver_server.app.front_ends.child import FIGURES_SECONDS, Child
from palaver_server.app.front_ends.share import Place, settings_of_child
from palaver_server.core.limits.shared_buckets import SharedBuckets
from palaver_server.core.model import LoadProgress
from palaver_server.settings import Settings

log = structlog.get_logger("palaver.app")

LATE_SECONDS = 10.0
"""What a front end may take to end when its grace is over."""


class Crew:
    """Belongs to one event loop, in the main thread. With one front end there is nobody in it, and nothing to do.

    Args:
        settings: of the whole server.
        vllm_arguments: flags for vLLM.
    """

    def __init__(self, settings: Settings, vllm_arguments: Sequence[str] = ()) -> None:
        self._settings = settings
        self._vllm_arguments = tuple(vllm_arguments)
        self._buckets = None if settings.front_ends == 1 else SharedBuckets()
        self._children: list[Child] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def place(self) -> Place:
        """The place of the first, which this is."""
        return Place(0, self._settings.front_ends, self._buckets)

    @property
    def is_empty(self) -> bool:
        """There is one front end, which is not in the crew."""
        return self._buckets is None

    @property
    def pids(self) -> frozenset[int]:
        """The processes."""
        return frozenset(child.pid for child in self._children)

    @property
    def running_count(self) -> int:
        """Answers that the others have the engine write."""
        return sum(child.running_count for child in self._children)

    async def start(self, address: str, edge_socket: Path | None) -> None:
        """Start all.

        Args:
            address: where the first listens.
            edge_socket: where the first listens to the edge.
        """
        self._loop = asyncio.get_running_loop()
        if self._buckets is None:
            return
        for index in range(1, self._settings.front_ends):
            settings = settings_of_child(self._settings, index, address=address, edge_socket=edge_socket)
            child = await Child.start(index, settings, self._vllm_arguments, self._buckets.descriptor)
            self._children.append(child)
            log.info("front end", index=index, pid=child.pid)

    def invite(self, invitation: Mapping[str, str]) -> None:
        """Let all answer with the engine."""
        for child in self._children:
            child.invite(invitation)

    def report(self, progress: LoadProgress) -> None:
        """Let all tell their callers how far the load is."""
        for child in self._children:
            child.report(progress)

    async def wait_ready(self) -> None:
        """Return when all answer calls."""
        await asyncio.gather(*(child.is_ready.wait() for child in self._children))

    async def wait_failed(self) -> str:
        """Return when one of them has ended, with a sentence about it."""
        if not self._children:
            return await asyncio.Future()
        ends = [asyncio.create_task(child.wait()) for child in self._children]
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for end in ends:
                end.cancel()

    def set_log_level(self, name: str) -> None:
        """Have all log from another level on."""
        for child in self._children:
            child.set_log_level(name)

    def give_up_engine(self, cause: str) -> None:
        """Tell all that the engine is gone: who waits for it would wait for ever."""
        for child in self._children:
            child.give_up_engine(cause)

    def ask_to_stop(self) -> None:
        """Have all drain and end, each as the first does."""
        for child in self._children:
            child.ask_to_stop()

    async def stop(self) -> None:
        """Wait for the end of all, which have been asked; who does not come to it is killed."""
        ends = [asyncio.create_task(child.wait()) for child in self._children]
        if ends:
            _, late = await asyncio.wait(ends, timeout=self._settings.drain_delay + self._settings.grace + LATE_SECONDS)
            if late:
                log.error("front ends do not end", count=len(late))
                self.kill()
            await asyncio.gather(*ends)
        for child in self._children:
            await child.close()
        self._children.clear()
        if self._buckets is not None:
            self._buckets.close()

    def kill(self) -> None:
        """End all at once."""
        for child in self._children:
            child.kill()

    def figures(self) -> list[list[Any]]:
        """What each has for Prometheus. Called in a thread."""
        if not self._children or self._loop is None:
            return []
        asked = asyncio.run_coroutine_threadsafe(self._ask_figures(), self._loop)
        try:
            return asked.result(FIGURES_SECONDS + 1)
        except TimeoutError:  # this process's own loop is late
            asked.cancel()
            return []

    async def _ask_figures(self) -> list[list[Any]]:
        return await asyncio.gather(*(child.figures() for child in self._children))
