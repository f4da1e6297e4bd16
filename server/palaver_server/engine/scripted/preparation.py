"""From a request to what the scripted engine will say: counted, checked, against what is demanded too."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from functools import partial

from palaver_server.core.conversation import Message
from palaver_server.core.events import Started
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.options import GenerationOptions
from palaver_server.core.prompt import Explanation, PromptCount
from palaver_server.core.tools import Tool
from palaver_server.engine.fitting import Fitting
from palaver_server.engine.policy import EnginePolicy
from palaver_server.engine.scripted.behaviour import ScriptedBehaviour
from palaver_server.engine.scripted.cue import cue
from palaver_server.engine.scripted.demands import check_demands
from palaver_server.engine.scripted.prompt import ScriptedPrompt
from palaver_server.engine.scripted.refusals import refuse_what_needs_a_model
from palaver_server.engine.scripted.words import Rendered
from palaver_server.engine.tool_judge import ToolJudge, check_tools


class Preparation:
    """Prepares requests for one engine."""

    def __init__(self, behaviour: ScriptedBehaviour, policy: EnginePolicy) -> None:
        self._behaviour = behaviour
        self._policy = policy
        self._fitting: Fitting[Rendered] = Fitting(
            behaviour.context_length, policy.context_overflow, lambda one: one.token_count
        )

    async def count_tokens(self, request: GenerationRequest) -> PromptCount:
        """See ``core.engine.Engine.count_tokens``."""
        refuse_what_needs_a_model(request)
        options = self._options(request)
        if request.tools:
            await asyncio.to_thread(check_tools, request.tools, request.field_prefix)
        rendered, truncation = await self._fitting.fit(request, partial(_render, tools=request.tools), is_counting=True)
        return PromptCount(
            rendered.token_count,
            self._output_room(options, rendered.token_count),
            truncation,
            prompt_text=rendered.text if request.response_options.prompt_text else "",
        )

    async def explain(self, request: GenerationRequest) -> Explanation:
        """See ``core.engine.Engine.explain``. Words are no tokens of a vocabulary: there are no ids."""
        prompt = await self.prepare(request)
        options = replace(self._options(request), max_output_tokens=prompt.max_output_tokens)
        return Explanation(replace(prompt.started, effective_options=options, prompt_text=prompt.prompt_text))

    async def prepare(self, request: GenerationRequest) -> ScriptedPrompt:
        """See ``core.engine.Engine.prepare``."""
        refuse_what_needs_a_model(request)
        options, wanted = self._options(request), request.response_options
        rendered, truncation = await self._fitting.fit(request, partial(_render, tools=request.tools))
        turn = cue(request, self._behaviour)
        judge = ToolJudge.of(request)
        if request.tools or request.response_format is not None:
            await asyncio.to_thread(check_demands, request, turn, judge)
        room = self._output_room(options, rendered.token_count)
        return ScriptedPrompt(
            started=Started(
                rendered.token_count,
                room,
                truncation=truncation,
                effective_options=replace(options, max_output_tokens=room) if wanted.effective_options else None,
                prompt_text=rendered.text if wanted.prompt_text else "",
            ),
            prompt_text=rendered.text,
            turn=turn,
            stop_sequences=options.stop_sequences,
            time_limit_seconds=math.inf if options.time_limit_seconds is None else options.time_limit_seconds,
            is_streamed=request.is_streamed,
            choice_count=options.choice_count or 1,
            has_running_usage=wanted.running_usage,
            min_tokens_per_delta=request.min_tokens_per_delta or 1,
            has_thoughts=request.reasoning.is_included,
            thought_budget=request.reasoning.budget_tokens,
            max_calls=request.max_calls,
            judge=judge,
            milestones=request.milestones,
        )

    def _options(self, request: GenerationRequest) -> GenerationOptions:
        self._policy.check_output(request, self._behaviour.context_length)
        return self._policy.completed(request.options)

    def _output_room(self, options: GenerationOptions, prompt_tokens: int) -> int:
        context = self._behaviour.context_length
        limit = min(options.max_output_tokens or context, self._policy.output_limit(context))
        return max(min(limit, context - prompt_tokens), 0)


async def _render(messages: tuple[Message, ...], tools: tuple[Tool, ...]) -> Rendered:
    """There is nothing to wait for here; another engine's templates take time."""
    return Rendered(messages, tools)
