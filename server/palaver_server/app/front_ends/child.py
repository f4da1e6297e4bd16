"""One of the other front ends, as the first sees it: its process, and what it has said."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import structlog

from palaver_server.app.front_ends.channel import Channel
from palaver_server.core.model import LoadProgress
from palaver_server.settings import Settings

log = structlog.get_logger("palaver.app")

MODULE = "palaver_server.front_end"
FIGURES_SECONDS = 3.0
"""What a process may take to tell its figures; Prometheus waits for ten."""


class Child:
    """Belongs to one event loop, in the main thread: the process ends with the thread that started it."""

    def __init__(self, index: int, process: asyncio.subprocess.Process, channel: Channel) -> None:
        self.index = index
        self.running_count = 0
        """Answers that it has the engine write, as it said last."""
        self.is_ready = asyncio.Event()
        self._process = process
        self._channel = channel
        self._asked = itertools.count()
        self._figures: dict[int, asyncio.Future[list[Any]]] = {}
        self._listening = asyncio.create_task(self._listen(), name=f"front end {index}")

    @classmethod
    async def start(cls, index: int, settings: Settings, vllm_arguments: tuple[str, ...], limits: int) -> Child:
        """Start a front end.

        Args:
            index: which it is.
            settings: its own.
            vllm_arguments: flags for vLLM.
            limits: descriptor of the buckets that all share.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", MODULE, str(os.getpid()), str(theirs.fileno()), str(limits)),
                pass_fds=(theirs.fileno(), limits),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),  # the log goes where ours goes
                env={name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"},
            )
        child = cls(index, process, await Channel.over(ours))
        child._channel.tell(
            "begin", index=index, settings=settings.model_dump(mode="json"), vllm_arguments=list(vllm_arguments)
        )
        return child

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def invite(self, invitation: Mapping[str, str]) -> None:
        """Let it answer with the engine too."""
        self._channel.tell("invitation", invitation=dict(invitation))

    def report(self, progress: LoadProgress) -> None:
        """Let it tell its callers how far the load is."""
        self._channel.tell("progress", phase=progress.phase.name, fraction=progress.fraction, detail=progress.detail)

    def set_log_level(self, name: str) -> None:
        """Have it log from another level on."""
        self._channel.tell("log level", level=name)

    def give_up_engine(self, cause: str) -> None:
        """Tell it that the engine is gone."""
        self._channel.tell("engine failed", cause=cause)

    def ask_to_stop(self) -> None:
        """Have it drain and end."""
        self._channel.tell("stop")

    async def wait(self) -> str:
        """Return when its process has ended, with a sentence about how."""
        status = await self._process.wait()
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with {status}"
        return f"front end {self.index} {how}"

    async def figures(self) -> list[Any]:
        """What it has for Prometheus; nothing where it does not tell in time."""
        number, answer = next(self._asked), asyncio.get_running_loop().create_future()
        self._figures[number] = answer
        self._channel.tell("figures?", number=number)
        try:
            async with asyncio.timeout(FIGURES_SECONDS):
                found: list[Any] = await answer
                return found
        except TimeoutError:
            log.warning("a front end does not tell its figures", index=self.index)
            return []
        finally:
            del self._figures[number]

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> None:
        """Let go of what is left of it."""
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self._channel.close()

    async def _listen(self) -> None:
        while (message := await self._channel.hear()) is not None:
            match message["what"]:
                case "ready":
                    self.is_ready.set()
                case "running":
                    self.running_count = message["count"]
                case "figures":
                    if (answer := self._figures.get(message["number"])) is not None and not answer.done():
                        answer.set_result(message["families"])
