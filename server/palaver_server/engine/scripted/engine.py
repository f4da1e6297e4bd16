"""An engine without a model: it says what the user said, or a script, a word a token, as fast as it is told to.

It serves demonstrations, tests and load tests of everything but the model, through the same path as a real one. It is
deterministic: its answer is the one likeliest answer, which is what a model gives at temperature 0, so sampling options
and the seed are taken and change nothing.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Mapping

from palaver_server.core.chat import RESTART_RETRY_SECONDS
from palaver_server.core.engine import EngineStartError, Prompt, ReportProgress
from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.events import Event, FinishReason
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.model import LoadPhase, LoadProgress, ModelDescription
from palaver_server.core.prompt import Explanation, PromptCount
from palaver_server.engine.policy import EnginePolicy
from palaver_server.engine.scripted.answer import ScriptedAnswer
from palaver_server.engine.scripted.behaviour import ScriptedBehaviour
from palaver_server.engine.scripted.fingerprint import fingerprint
from palaver_server.engine.scripted.preparation import Preparation
from palaver_server.engine.scripted.prompt import ScriptedPrompt

LOAD_STEPS = 20
"""Reports of progress during a load."""
WARM_UP_FRACTION = 0.9
"""The part of the load after which warming up begins."""
TOKENS_PER_TURN = 16
"""Tokens that a call writes before it lets others run."""
MAX_MERGED_TOKENS = 256
"""Tokens of one delta at most, however late the reader is."""


class ScriptedEngine:
    """Implements ``core.engine.Engine``. Belongs to one event loop.

    With an interval, tokens are due at fixed times from the call's beginning, whoever reads: a reader who comes late
    gets all that are due in one delta, as with vLLM. Without one, a token is written when it is asked for, one a delta.
    Nothing is written ahead of the reader.

    An answer that says all it has to say ends with ``STOP``, also where its length is exactly the most allowed; the end
    itself costs no token. What was written and became part of a stop sequence counts as output.
    """

    def __init__(
        self,
        behaviour: ScriptedBehaviour | None = None,
        *,
        model_id: str = "scripted",
        policy: EnginePolicy | None = None,
    ) -> None:
        self._behaviour = behaviour or ScriptedBehaviour()
        self._policy = policy or EnginePolicy()
        self._preparation = Preparation(self._behaviour, self._policy)
        self._description = ModelDescription(model_id)
        self._is_loaded = False
        self._running: set[ScriptedAnswer] = set()
        self._pauses: set[asyncio.Future[None]] = set()
        self._hangs_since: float | None = None
        self._end: str | None = None
        self._has_died = asyncio.Event()

    @property
    def description(self) -> ModelDescription:
        """The model."""
        return self._description

    @property
    def running_count(self) -> int:
        """Answers that are being written."""
        return len(self._running)

    @property
    def silent_seconds(self) -> float:
        """How long an answer has hung, as the script says."""
        return 0.0 if self._hangs_since is None else time.monotonic() - self._hangs_since

    @property
    def kv_cache_usage(self) -> float:
        """The part of the script's KV cache that running answers hold, at most 1."""
        if (room := self._behaviour.kv_cache_tokens) is None:
            return 0.0
        return min(sum(answer.held_tokens for answer in self._running) / room, 1.0)

    async def load(self, report: ReportProgress) -> None:
        """Take the script's time, as if there were a model to load.

        Raises:
            EngineStartError: the script says so.
        """
        script = self._behaviour
        report(LoadProgress(LoadPhase.STARTING_ENGINE, 0.0))
        if script.load_seconds > 0:
            for step in range(1, LOAD_STEPS + 1):
                await asyncio.sleep(script.load_seconds / LOAD_STEPS)
                fraction = step / LOAD_STEPS
                phase = LoadPhase.WARMING_UP if fraction >= WARM_UP_FRACTION else LoadPhase.STARTING_ENGINE
                report(LoadProgress(phase, fraction))
        if script.load_error is not None:
            raise EngineStartError(script.load_error)
        self._description = ModelDescription(
            self._description.model_id,
            context_length=script.context_length,
            max_output_tokens=self._policy.output_limit(script.context_length),
            architecture=type(self).__name__,
            reads_tools=True,
            reads_thoughts=True,
            system_fingerprint=fingerprint(script, self._policy),
        )
        self._is_loaded = True

    async def count_tokens(self, request: GenerationRequest) -> PromptCount:
        """Count the words of messages and tools, and ``TEMPLATE_TOKENS_PER_MESSAGE`` for each message.

        Raises:
            PalaverError: the request asks for what only a model has, or a tool is none.
        """
        return await self._preparation.count_tokens(request)

    async def explain(self, request: GenerationRequest) -> Explanation:
        """Tell what would be answered to: its messages in their layout. Words are no tokens of a vocabulary: no ids.

        Raises:
            PalaverError: as ``prepare``.
        """
        self._check_alive()
        return await self._preparation.explain(request)

    async def prepare(self, request: GenerationRequest) -> ScriptedPrompt:
        """Count and check.

        Raises:
            PalaverError: the prompt leaves no room for a token; more output is asked for than the context is long; the
                engine is not loaded or has ended.
        """
        self._check_alive()
        return await self._preparation.prepare(request)

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Event, None]:
        """Write the answer.

        Raises:
            PalaverError: ``GENERATION_FAILED`` or ``ENGINE_UNAVAILABLE``, where the script says so; the latter also
                when the engine is shut down meanwhile.
        """
        if not isinstance(prompt, ScriptedPrompt):
            raise TypeError(f"A scripted engine cannot answer a {type(prompt).__name__}.")
        self._check_alive()
        answer = ScriptedAnswer(prompt, asyncio.get_running_loop().time())
        self._running.add(answer)
        try:
            yield prompt.started
            while not await self._advance(answer):
                if prompt.is_streamed:
                    for delta in answer.take():
                        yield delta
            for delta in answer.close(FinishReason.TIME_LIMIT):
                yield delta
            yield answer.finish()
        finally:
            self._running.discard(answer)
            prompt.milestones.given_up_token_count = 0 if answer.is_over() else answer.output_token_count

    async def invitation(self) -> Mapping[str, str]:
        """Nothing: each process has a scripted engine of its own, as they have nothing to share."""
        return {}

    def give_up(self, cause: str) -> None:
        """Die, of this cause."""
        self._stop(cause)
        self._has_died.set()

    async def wait_failed(self) -> str:
        """Return when the script has made the engine die; being shut down is no failure."""
        await self._has_died.wait()
        return self._end or ""

    async def shutdown(self) -> None:
        """End all answers with ``ENGINE_UNAVAILABLE``. Harmless when called twice or before ``load``."""
        self._stop("The scripted engine was shut down.")

    def kill(self) -> None:
        """Do as ``shutdown``; a scripted engine has no process of its own."""
        self._stop("The scripted engine was killed.")

    async def _advance(self, answer: ScriptedAnswer) -> bool:
        """Wait for the next token and write it, and with it all that are due; tell whether the answer is over.

        What has not come to its own end then has run out of time.
        """
        now = asyncio.get_running_loop().time
        interval = self._behaviour.interval_seconds
        for written in range(MAX_MERGED_TOKENS if interval else 1):
            self._check_alive()
            due, is_struck = self._due(answer, now()), self._is_struck(answer.token_count)
            if written and (is_struck or due > now()):
                return False  # the reader gets what there is before the wait
            if is_struck:
                await self._strike(answer)
                return True
            if answer.is_over():
                return True
            await self._pause_until(min(due, answer.deadline))
            if due >= answer.deadline:
                return True
            answer.write(now())
        if interval or answer.token_count % TOKENS_PER_TURN == 0:
            await asyncio.sleep(0)
        return False

    def _due(self, answer: ScriptedAnswer, now: float) -> float:
        """When the answer's next token comes, in the loop's time."""
        first = answer.began + self._behaviour.first_seconds
        if self._behaviour.interval_seconds:
            return first + answer.token_count * self._behaviour.interval_seconds
        return max(first, now)

    def _is_struck(self, token_count: int) -> bool:
        script = self._behaviour
        return token_count in (script.fail_after_tokens, script.hang_after_tokens, script.die_after_tokens)

    async def _strike(self, answer: ScriptedAnswer) -> None:
        """Let the fault happen; returns from a hang alone, when the answer's time limit passes."""
        count = answer.token_count
        if count == self._behaviour.die_after_tokens:
            self.give_up(f"The scripted engine died after {count} tokens of an answer, as its script says.")
            self._check_alive()
        if count == self._behaviour.fail_after_tokens:
            raise PalaverError(Reason.GENERATION_FAILED, f"The engine gave the answer up after {count} tokens.")
        self._hangs_since = time.monotonic()
        try:
            await self._pause_until(answer.deadline)
        finally:
            self._hangs_since = None

    async def _pause_until(self, due: float) -> None:
        """Wait, for ever if need be; the engine's end wakes everybody."""
        loop = asyncio.get_running_loop()
        if due <= loop.time():
            return
        pause: asyncio.Future[None] = loop.create_future()
        timer = loop.call_at(due, _wake, pause) if due < math.inf else None
        self._pauses.add(pause)
        try:
            await pause
        finally:
            self._pauses.discard(pause)
            if timer is not None:
                timer.cancel()
        self._check_alive()

    def _stop(self, sentence: str) -> None:
        self._end = self._end or sentence
        for pause in self._pauses:
            _wake(pause)

    def _check_alive(self) -> None:
        if self._end is not None or not self._is_loaded:
            raise PalaverError(
                Reason.ENGINE_UNAVAILABLE,
                "The engine is not running. Try again after the time given.",
                retry_after_seconds=RESTART_RETRY_SECONDS,
            )


def _wake(pause: asyncio.Future[None]) -> None:
    if not pause.done():
        pause.set_result(None)
