"""A front end's way to an engine that another process launches: no process to start, and none to end."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from palaver_server.core.engine import EngineStartError, ReportProgress
from palaver_server.engine.policy import EnginePolicy
from palaver_server.engine.vllm.processes.seats import Seat
from palaver_server.engine.vllm.start import garbage, own_thread
from palaver_server.engine.vllm.start.environment import set_variables
from palaver_server.engine.vllm.start.errors import check_model_files, explain
from palaver_server.engine.vllm.start.quiet import fewer_warnings

if TYPE_CHECKING:  # it imports vLLM, which takes seconds and belongs into the thread that builds
    from palaver_server.engine.vllm.runtime import Runtime

WAIT_SECONDS = 7 * 24 * 3600
"""For the engine to be there. Who launches it knows whether it still comes, and ends this process if not."""


class Joining:
    """Builds a front end's part in a thread, and ends it. Has the verbs of ``launch.Launch``.

    Args:
        model_id: the name that requests use.
        flags: vLLM's engine arguments, those of the engine.
        policy: what the operator decides about answers.
        invitation: what ``Launch.invitation`` gives.
        index: which front end this is.
        count: how many there are.
    """

    def __init__(
        self,
        model_id: str,
        flags: Sequence[str],
        policy: EnginePolicy,
        invitation: Awaitable[Mapping[str, str]],
        *,
        index: int,
        count: int,
    ) -> None:
        self._model_id = model_id
        self._flags = flags
        self._policy = policy
        self._invitation = invitation
        self._index = index
        self._count = count
        self._runtime: Runtime | None = None

    async def invitation(self) -> Mapping[str, str]:
        """What came from the process that launches the engine."""
        return await self._invitation

    async def run(self, model: str, report: ReportProgress) -> Runtime:  # the launch has all to tell
        """Build, and wait for the engine.

        Raises:
            EngineStartError: with one sentence about the cause.
        """
        invitation = await self._invitation
        seat = Seat(Path(invitation["folder"]), self._index, self._count, bytes.fromhex(invitation["cache_secret"]))
        set_variables(seat.folder, is_local_model=check_model_files(model))
        os.environ["VLLM_ENGINE_READY_TIMEOUT_S"] = str(WAIT_SECONDS)
        try:
            with fewer_warnings():
                self._runtime = await own_thread.begin(partial(self._build, model, seat), "joining the engine")
        except EngineStartError:
            raise
        except Exception as error:
            raise explain(error, [], model) from error
        return self._runtime

    def loaded(self) -> None:
        """From here on, the engine only serves."""
        garbage.keep_all()

    async def stop(self, seconds: float) -> None:
        """Leave the engine, which goes on."""
        if self._runtime is not None:
            await self._runtime.end(seconds)
            self._runtime = None

    def kill(self) -> None:
        """There is no process to end."""

    def _build(self, model: str, seat: Seat) -> Runtime:
        from palaver_server.engine.vllm.runtime import build  # noqa: PLC0415  # imports vLLM: seconds, here in the thread

        return build(model, self._model_id, self._flags, self._policy, lambda _: None, seat=seat)
