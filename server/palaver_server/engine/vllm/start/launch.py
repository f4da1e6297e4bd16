"""One start of an engine, from its folder to its running processes, and the end of all that."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from palaver_server.core.engine import EngineStartError, ReportProgress
from palaver_server.engine.policy import EnginePolicy
from palaver_server.engine.vllm.processes import table as processes
from palaver_server.engine.vllm.processes.fork_server import ForkServer
from palaver_server.engine.vllm.processes.seats import Seat
from palaver_server.engine.vllm.start import garbage, own_thread
from palaver_server.engine.vllm.start.environment import (
    forget_engine_folder,
    make_engine_folder,
    remove_engine_folder,
    set_variables,
)
from palaver_server.engine.vllm.start.errors import ChildErrors, check_model_files, died_while_starting, explain
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
        self._step = threading.Lock()  # of the next two: a step begins, or the stop does
        self._has_imported = False
        self._is_stopping = False

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
        telling = asyncio.create_task(progress.run())
        self._building = own_thread.begin(partial(self._build, model, progress.reach, seat), "building the engine")
        try:
            with fewer_warnings(), garbage.left_alone():
                return await self._built(self._building)
        except Exception as error:
            if self._is_stopping:
                raise _stopped() from error
            if (status := self._fork_server.exit_status()) is not None:
                raise died_while_starting(status) from error
            self._fork_server.end()  # it would be listened to for ever
            await asyncio.to_thread(self._relay.drain, LAST_WORDS_SECONDS)
            raise explain(error, errors.causes, model) from error
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

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
        with self._step:
            self._is_stopping = True
        if (runtime := await self._end_building()) is not None:
            await runtime.end(seconds)
            garbage.as_usual()
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
            forget_engine_folder(self._folder)
            await asyncio.to_thread(remove_engine_folder, self._folder)

    def kill(self) -> None:
        """End every process now, waiting for nothing."""
        self._fork_server.end()
        processes.kill([*processes.members(self._leader_pids | processes.leaders()), *processes.inspectors()])
        if self._folder is not None:
            remove_engine_folder(self._folder)

    def _build(self, model: str, reach: Callable[[Step], None], seat: Seat) -> Runtime:
        def reach_unless_stopped(step: Step) -> None:
            with self._step:
                if self._is_stopping:
                    raise _stopped()
                self._has_imported = True
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

    async def _built(self, building: asyncio.Future[Runtime]) -> Runtime:
        """Wait for the build, as long as something can come of it."""
        while not building.done() and self._fork_server.exit_status() is None and not self._is_left_alone:
            # Who was started is remembered: when an engine core has died, nobody else tells its workers.
            self._leader_pids |= processes.leaders()
            await asyncio.wait({building}, timeout=POLL_SECONDS)
        if not building.done():
            raise EngineStartError("The engine was given up while it was starting.")
        return building.result()

    @property
    def _is_left_alone(self) -> bool:
        """The build has been stopped while it imports: it has started no process, and will start none."""
        return self._is_stopping and not self._has_imported

    async def _end_building(self) -> Runtime | None:
        """Have the build end, and return what it has made all the same.

        A thread cannot be interrupted. Without its processes vLLM gives the build up; before it has any, the next step
        does not begin, and while it imports, which takes long, it is left alone.
        """
        building = self._building
        if building is None or self._is_left_alone:
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
