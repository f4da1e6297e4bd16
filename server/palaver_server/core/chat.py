"""Answering a conversation: the one way from a checked request to the engine, whatever protocol it came by."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Container
from contextlib import aclosing, asynccontextmanager

from palaver_server.core.admission import Admission
from palaver_server.core.deadline import within_time
from palaver_server.core.engine import Engine
from palaver_server.core.errors import FieldViolation, PalaverError, Reason
from palaver_server.core.events import Event
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.identity.rights import require_model
from palaver_server.core.load import Load
from palaver_server.core.loading import Loading
from palaver_server.core.model import LoadPhase, ModelDescription
from palaver_server.core.prompt import Explanation, PromptCount
from palaver_server.core.readiness import NotReady, Readiness
from palaver_server.core.running import LAST_WRITE_SECONDS, RunningCalls

RESTART_RETRY_SECONDS = 10.0
"""About what a supervisor and a small model take to come back."""
END_SECONDS = LAST_WRITE_SECONDS + 1.0
"""What calls that were told to end may take to do so, those included whose callers do not read."""
DRAIN_READER_SECONDS = 5.0
"""What a reader may take for one message of a server that stops."""
DRAIN_RETRY_SECONDS = 1.0
"""A drained server's place is taken by another one, to which the next connection goes."""


class Chat:
    """Takes a request through readiness, admission and the engine.

    Args:
        engine: answers.
        admission: has the permits.
        readiness: tells whether calls are answered.
        loading: tells how far the model is.
        slow_reader_seconds: what a reader may take for one event before its call ends.
    """

    def __init__(
        self,
        engine: Engine,
        admission: Admission,
        readiness: Readiness,
        loading: Loading,
        *,
        slow_reader_seconds: float,
    ) -> None:
        self._engine = engine
        self._admission = admission
        self._readiness = readiness
        self._loading = loading
        self._running = RunningCalls(slow_reader_seconds)
        self.load = Load(
            admission.max_concurrent,
            counts=lambda: (admission.running_count, admission.waiting_count),
            kv_cache_usage=lambda: engine.kv_cache_usage,
        )
        """How busy the calls that go through here keep the server."""

    @property
    def model(self) -> ModelDescription:
        """The model that answers."""
        return self._engine.description

    @property
    def running_count(self) -> int:
        """Calls in progress, waiting ones included."""
        return len(self._running)

    @asynccontextmanager
    async def answer(
        self, request: GenerationRequest, *, until: float | None = None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """Hold a permit and give the engine's events for the body's time.

        Next to nothing stands between the engine and the reader: the events are the engine's own generator. Leaving
        the body early frees the engine.

        Args:
            request: what is asked.
            until: when the answer ends with ``DEADLINE_EXCEEDED``, on the event loop's clock; None for never.

        Raises:
            PalaverError: the model is unknown or not ready, the server is full, the prompt does not fit, the answer
                has to end.
        """
        self._check(request)
        within_time(request)
        with self.load.call():
            async with self._running.call(request.client, until=until) as running, self._admission.permit():
                request.milestones.admitted = time.monotonic()
                prompt = await self._engine.prepare(within_time(request))
                request.milestones.prepared = time.monotonic()
                async with aclosing(self._engine.generate(prompt)) as events:
                    try:
                        yield running.answer_with(events)
                    finally:
                        request.milestones.unread_seconds = running.unread_seconds

    async def count_tokens(self, request: GenerationRequest) -> PromptCount:
        """Count the tokens of the rendered conversation.

        Raises:
            PalaverError: as for ``answer``, but for a full server.
        """
        self._check(request)
        return await self._engine.count_tokens(request)

    async def explain(self, request: GenerationRequest) -> Explanation:
        """Tell what the model would be given, and how it would answer.

        Raises:
            PalaverError: as for ``answer``, but for a full server.
        """
        self._check(request)
        return await self._engine.explain(request)

    async def drain(self, grace_seconds: float) -> None:
        """Wait for the running calls, at most so long; then end them with the reason for which new ones are refused.

        Callers who do not read at all are not waited for so long.
        """
        self._running.slow_reader_seconds = min(self._running.slow_reader_seconds, DRAIN_READER_SECONDS)
        if not await self._running.wait_idle(grace_seconds):
            self._running.end(self.refusal)
            await self._running.wait_idle(END_SECONDS)

    def end_calls_of(self, key_ids: Container[str | None]) -> int:
        """End the running calls of keys that have been revoked; return how many there were."""
        return self._running.end(
            lambda: PalaverError(Reason.KEY_REVOKED, "The API key was revoked while this call was running."), key_ids
        )

    def _check(self, request: GenerationRequest) -> None:
        served = self._engine.description.model_id
        if request.model and request.model != served:
            field = f"{request.field_prefix}model"
            raise PalaverError(
                Reason.MODEL_NOT_FOUND,
                f"This server does not serve that model. It serves {served!r}; leave the field empty to use it.",
                violations=[FieldViolation(field, f"no such model here; {served!r} is served")],
                metadata={"model": served},
            )
        require_model(request.client, served, field=f"{request.field_prefix}model")
        if not self._readiness.is_accepting:
            raise self.refusal()

    def refusal(self) -> PalaverError:
        """Why no call is answered now, or soon no more."""
        if NotReady.ENGINE_FAILED in self._readiness:
            return PalaverError(
                Reason.ENGINE_UNAVAILABLE,
                "The engine has stopped; the server is going down to be started anew.",
                retry_after_seconds=RESTART_RETRY_SECONDS,
            )
        if NotReady.DRAINING in self._readiness or NotReady.LEAVING in self._readiness:
            return PalaverError(
                Reason.SERVER_DRAINING,
                "The server is shutting down; call again and another one will answer.",
                retry_after_seconds=DRAIN_RETRY_SECONDS,
            )
        progress = self._loading.progress
        if progress.phase is LoadPhase.FAILED:
            return PalaverError(Reason.ENGINE_UNAVAILABLE, "The model could not be loaded.")
        return PalaverError(
            Reason.MODEL_LOADING,
            f"The model is still loading ({progress.phase.value}, {progress.fraction:.0%}).",
            retry_after_seconds=self._loading.retry_after_seconds(),
            metadata={"phase": progress.phase.name, "percent": f"{progress.fraction * 100:.0f}"},
        )
