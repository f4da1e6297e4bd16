"""One start of an engine, from its folder to its running processes, and the end of all that."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from palaver_server.core.engine import EngineStartError, ReportProgress
from palaver_server.engine.policy import EnginePolicy
from palaver_server.engine.vllm.processes import table as processes
from palaver_server.engine.vllm.processes.fork_server import ForkServer
from palaver_server.engine.vllm.processes.seats import Seat
from palaver_server.engine.vllm.start import garbage
from palaver_server.engine.vllm.start.environment import make_engine_folder, remove_engine_folder, set_variables
from palaver_server.engine.vllm.start.errors import ChildErrors, check_model_files, explain
from palaver_server.engine.vllm.start.log_relay import LogRelay
from palaver_server.engine.vllm.start.progress import BuildProgress, Step
from palaver_server.engine.vllm.start.quiet import fewer_warnings

if TYPE_CHECKING:  # it imports vLLM, which takes seconds and belongs into the thread that builds
    from palaver_server.engine.vllm.runtime import Runtime

log = structlog.get_logger("palaver.engine")

POLL_SECONDS = 0.1
LAST_WORDS_SECONDS = 2.0
"""For the log lines of processes that have ended."""
KILLED_SECONDS = 5.0
"""For the kernel to take apart processes that were killed; their memory may be large."""


class Launch:
    """Starts an engine in a thread, and ends it whatever state it is in."""

    def __init__(self, model_id: str, flags: Sequence[str], policy: EnginePolicy, *, front_ends: int = 1) -> None:
        self._model_id = model_id
        self._flags = flags
        self._policy = policy
        self._front_ends = front_ends
        self._invitation: dict[str, str] = {}
        self._can_be_joined = asyncio.Event()
        self._folder: Path | None = None
        self._relay: LogRelay | None = None
        self._fork_server = ForkServer()
        self._building: asyncio.Future[Runtime] | None = None
        self._leader_pids: set[int] = set()
        self._is_stopping = threading.Event()

    async def invitation(self) -> Mapping[str, str]:
        """What a front end needs for ``joining.Joining``; there as soon as ``run`` has begun."""
        await self._can_be_joined.wait()
        return self._invitation

    async def run(self, model: str, report: ReportProgress) -> Runtime:
        """Build the engine for a model's folder, or its name on the hub. When cancelled, call ``stop``.

        Raises:
            EngineStartError: with one sentence about the cause.
        """
        is_local_model = check_model_files(model)
        self._folder = make_engine_folder()
        seat = Seat(self._folder, 0, self._front_ends, secrets.token_bytes(32))
        self._invitation = {"model": model, "folder": str(seat.folder), "cache_secret": seat.cache_secret.hex()}
        self._can_be_joined.set()
        set_variables(self._folder, is_local_model=is_local_model)
        progress, errors = BuildProgress(report), ChildErrors()
        self._relay = LogRelay(self._folder, (progress.observe, errors.observe))
        self._relay.max_level = logging.INFO
        self._relay.start()
        self._fork_server.start()  # it imports vLLM while the thread does
        companions = [asyncio.create_task(progress.run()), asyncio.create_task(self._note_processes())]
        self._building = asyncio.get_running_loop().run_in_executor(None, self._build, model, progress.reach, seat)
        try:
            with fewer_warnings(), garbage.left_alone():
                return await asyncio.shield(self._building)
        except Exception as error:
            if self._is_stopping.is_set():
                raise _stopped() from error
            self._fork_server.end()  # it would be listened to for ever
            await asyncio.to_thread(self._relay.drain, LAST_WORDS_SECONDS)
            raise explain(error, errors.causes, model) from error
        finally:
            for companion in companions:
                companion.cancel()
            await asyncio.gather(*companions, return_exceptions=True)

    def loaded(self) -> None:
        """From here on, the engine only serves: what its processes say has its own weight in the log."""
        if self._relay is not None:
            self._relay.max_level = logging.CRITICAL
        garbage.keep_all()

    async def stop(self, seconds: float) -> None:
        """End the build, the engine, each of its processes, its log and its folder.

        Args:
            seconds: what running processes get to end by themselves.
        """
        self._is_stopping.set()
        if (runtime := await self._end_building()) is not None:
            await runtime.end(seconds)
            # vLLM's engine ends itself once more when it is collected. It is part of cycles: left alone, that would
            # happen while the interpreter is taken apart, and fail with a trace.
            del runtime
            garbage.collect_all()
        self._fork_server.end()
        # vLLM has ended what it knows of. A worker whose engine core was killed may be left all the same.
        left = processes.members(self._leader_pids)
        processes.kill(left)
        if left := await asyncio.to_thread(processes.wait_gone, left, KILLED_SECONDS):
            log.error("engine processes do not end", pids=[process.pid for process in left])
        if self._relay is not None:
            await asyncio.to_thread(self._relay.drain, LAST_WORDS_SECONDS)
            await asyncio.to_thread(self._relay.close)
        if self._folder is not None:
            await asyncio.to_thread(remove_engine_folder, self._folder)

    def kill(self) -> None:
        """End every process now, waiting for nothing."""
        self._fork_server.end()
        processes.kill([*processes.members(self._leader_pids | processes.leaders()), *processes.inspectors()])
        if self._folder is not None:
            remove_engine_folder(self._folder)

    def _build(self, model: str, reach: Callable[[Step], None], seat: Seat) -> Runtime:
        def reach_unless_stopped(step: Step) -> None:
            if self._is_stopping.is_set():
                raise _stopped()
            reach(step)

        from palaver_server.engine.vllm.runtime import build  # noqa: PLC0415  # imports vLLM: seconds, here in the thread

        return build(
            model,
            self._model_id,
            self._flags,
            self._policy,
            reach_unless_stopped,
            seat=seat,
            fork_server=self._fork_server,
        )

    async def _note_processes(self) -> None:
        """Remember who was started: when an engine core has died during the build, nobody else tells its workers."""
        while True:
            self._leader_pids |= processes.leaders()
            await asyncio.sleep(POLL_SECONDS)

    async def _end_building(self) -> Runtime | None:
        """Have the build end, and return what it has made all the same.

        A thread cannot be interrupted. Without its processes vLLM gives the build up; before it has any, the next step
        does not begin.
        """
        building = self._building
        if building is None:
            return None
        if not building.done():
            self._fork_server.end()
        while not building.done():
            self._leader_pids |= processes.leaders()
            processes.kill([*processes.members(self._leader_pids), *processes.inspectors()])
            await asyncio.wait({building}, timeout=POLL_SECONDS)
        self._building = None
        with suppress(Exception):  # the build's own failure is told where it was begun
            return building.result()
        return None


def _stopped() -> EngineStartError:
    return EngineStartError("The engine was stopped while it was starting.")
