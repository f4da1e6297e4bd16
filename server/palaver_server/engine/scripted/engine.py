"""An engine without a model: it repeats what the user said, a word a token, as fast as it is told to.

It serves demonstrations, tests and load tests of everything but the model, through the same path as a real one. It is
deterministic: its answer is the one likeliest answer, which is what a model gives at temperature 0, so sampling options
and the seed are taken and change nothing.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Iterable
from dataclasses import replace

from palaver_server.core.chat import RESTART_RETRY_SECONDS
from palaver_server.core.engine import EngineStartError, Prompt, ReportProgress
from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.events import Delta, Event, Finished, FinishReason, Started
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.model import LoadPhase, LoadProgress, ModelDescription
from palaver_server.core.prompt import Explanation, PromptCount
from palaver_server.engine.fitting import Fitting
from palaver_server.engine.policy import EnginePolicy
from palaver_server.engine.scripted.answer import ScriptedAnswer, ScriptedPrompt
from palaver_server.engine.scripted.behaviour import ScriptedBehaviour
from palaver_server.engine.scripted.fingerprint import fingerprint
from palaver_server.engine.scripted.refusals import refuse_what_needs_a_model
from palaver_server.engine.scripted.words import Rendered, last_user_text, render

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
        self._fitting: Fitting[Rendered] = Fitting(
            self._behaviour.context_length, self._policy.context_overflow, lambda one: one.token_count
        )
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
            system_fingerprint=fingerprint(script, self._policy),
        )
        self._is_loaded = True

    async def count_tokens(self, request: GenerationRequest) -> PromptCount:
        """Count the words of all messages, and ``TEMPLATE_TOKENS_PER_MESSAGE`` for each message.

        Raises:
            PalaverError: there are tools, which it has no words for.
        """
        refuse_what_needs_a_model(request)
        self._policy.check_output(request, self._behaviour.context_length)
        rendered, truncation = await self._fitting.fit(request, render, is_counting=True)
        return PromptCount(rendered.token_count, self._output_room(request, rendered.token_count), truncation)

    async def explain(self, request: GenerationRequest) -> Explanation:
        """Tell what would be answered to: its messages in their layout. Words are no tokens of a vocabulary: no ids.

        Raises:
            PalaverError: as ``prepare``.
        """
        prompt = await self.prepare(request)
        options = replace(request.options, max_output_tokens=prompt.max_output_tokens)
        return Explanation(replace(prompt.started, effective_options=options, prompt_text=prompt.prompt_text))

    async def prepare(self, request: GenerationRequest) -> ScriptedPrompt:
        """Count and check.

        Raises:
            PalaverError: the prompt leaves no room for a token; more output is asked for than the context is long; the
                engine is not loaded or has ended.
        """
        self._check_alive()
        refuse_what_needs_a_model(request)
        self._policy.check_output(request, self._behaviour.context_length)
        rendered, truncation = await self._fitting.fit(request, render)
        options = request.options
        return ScriptedPrompt(
            started=Started(
                rendered.token_count, self._output_room(request, rendered.token_count), truncation=truncation
            ),
            prompt_text=rendered.text,
            text=last_user_text(request.messages),
            tokens=self._behaviour.tokens,
            stop_sequences=options.stop_sequences,
            time_limit_seconds=math.inf if options.time_limit_seconds is None else options.time_limit_seconds,
            is_streamed=request.is_streamed,
            choice_count=options.choice_count or 1,
            has_running_usage=request.response_options.running_usage,
            min_tokens_per_delta=request.min_tokens_per_delta or 1,
        )

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
            reason = None
            while reason is None:
                reason = await self._advance(answer)
                if reason is None and prompt.is_streamed and (delta := answer.take()):
                    for choice in _choices(delta, prompt, answer):
                        yield choice
            finished = answer.finish(reason)
            for choice in _last_choices(answer.take_last(), prompt, answer, finished):
                yield choice
            yield finished
        finally:
            self._running.discard(answer)

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

    def _output_room(self, request: GenerationRequest, prompt_tokens: int) -> int:
        context = self._behaviour.context_length
        asked = request.options.max_output_tokens or self._policy.defaults.max_output_tokens or context
        return max(min(asked, self._policy.output_limit(context), context - prompt_tokens), 0)

    async def _advance(self, answer: ScriptedAnswer) -> FinishReason | None:
        """Wait for the next token and write it, and with it all that are due; give the reason if the answer is over."""
        now = asyncio.get_running_loop().time
        interval = self._behaviour.interval_seconds
        for written in range(MAX_MERGED_TOKENS if interval else 1):
            self._check_alive()
            due, is_struck = self._due(answer, now()), self._is_struck(answer.token_count)
            if written and (is_struck or due > now()):
                return None  # the reader gets what there is before the wait
            if is_struck:
                await self._strike(answer)
                return FinishReason.TIME_LIMIT
            if (reason := answer.reason_to_end()) is not None:
                return reason
            await self._pause_until(min(due, answer.deadline))
            if due >= answer.deadline:
                return FinishReason.TIME_LIMIT
            answer.write(now())
        if interval or answer.token_count % TOKENS_PER_TURN == 0:
            await asyncio.sleep(0)
        return None

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
            self._stop(f"The scripted engine died after {count} tokens of an answer, as its script says.")
            self._has_died.set()
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


def _choices(delta: Delta, prompt: ScriptedPrompt, answer: ScriptedAnswer) -> Iterable[Delta]:
    """Every choice says the same, one after the other."""
    if prompt.has_running_usage:
        delta = replace(delta, usage=answer.usage())
    if prompt.choice_count == 1:
        return (delta,)
    return (replace(delta, choice_index=index) for index in range(prompt.choice_count))


def _last_choices(
    delta: Delta | None, prompt: ScriptedPrompt, answer: ScriptedAnswer, finished: Finished
) -> Iterable[Delta]:
    """The last deltas; of several choices each has one, which tells its end."""
    if prompt.choice_count == 1:
        return () if delta is None else _choices(delta, prompt, answer)
    choices = _choices(delta or Delta("", 0), prompt, answer)
    return (replace(choice, end=end) for choice, end in zip(choices, finished.choices, strict=True))
