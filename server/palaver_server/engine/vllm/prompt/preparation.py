"""From a request to what vLLM will take: rendered, counted, checked, with all that reads its answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Any

from palaver_server.core.context import ContextTruncation
from palaver_server.core.conversation import Message
from palaver_server.core.errors import invalid_field
from palaver_server.core.events import Started
from palaver_server.core.generation import GenerationRequest, ResponseOptions
from palaver_server.core.logprobs import TokenLogprob
from palaver_server.core.options import GenerationOptions
from palaver_server.core.prompt import Explanation, PromptCount
from palaver_server.core.tools import NamedTool, ToolChoiceMode
from palaver_server.engine.fitting import Fitting
from palaver_server.engine.tool_judge import ToolJudge, check_tools
from palaver_server.engine.vllm.answer.collector import Output
from palaver_server.engine.vllm.answer.delta_stage import DeltaStage, Stage
from palaver_server.engine.vllm.answer.parsed_stage import ParsedStage, Reading
from palaver_server.engine.vllm.answer.parsers import Parsers
from palaver_server.engine.vllm.answer.token_logprobs import TokenLogprobs
from palaver_server.engine.vllm.grammar.wanted import Forms, refuse_strictness
from palaver_server.engine.vllm.prompt.cache_salt import CacheSalt
from palaver_server.engine.vllm.prompt.params import Sampling
from palaver_server.engine.vllm.prompt.rendering import Rendered, Rendering
from palaver_server.engine.vllm.prompt.thinking import Thinking
from palaver_server.engine.vllm.prompt.vllm_prompt import VllmPrompt


@dataclass(frozen=True, slots=True)
class Preparation:
    """Prepares requests for one engine."""

    rendering: Rendering
    sampling: Sampling
    parsers: Parsers
    thinking: Thinking
    logprobs: TokenLogprobs
    salt: CacheSalt
    forms: Forms
    fitting: Fitting[Rendered]

    async def count_tokens(self, request: GenerationRequest) -> PromptCount:
        """See ``core.engine.Engine.count_tokens``."""
        options, arguments = self.sampling.effective(request), self.thinking.template_arguments(request)
        rendered, truncation = await self._render(request, options, arguments, is_counting=True)
        return PromptCount(
            rendered.prompt_token_count,
            self.sampling.output_room(options, rendered.prompt_token_count),
            truncation,
            rendered.prompt_text if request.response_options.prompt_text else "",
            tuple(rendered.prompt_token_ids) if request.response_options.token_ids else (),
        )

    async def explain(self, request: GenerationRequest) -> Explanation:
        """See ``core.engine.Engine.explain``."""
        everything = ResponseOptions(effective_options=True, token_ids=True, prompt_text=True)
        prompt = await self.prepare(request, everything)
        return Explanation(prompt.started, self.thinking.template_arguments(request))

    async def prepare(self, request: GenerationRequest, wanted: ResponseOptions | None = None) -> VllmPrompt:
        """See ``core.engine.Engine.prepare``.

        Args:
            request: the conversation.
            wanted: what the answer tells beside the answer; None: what the request asks for.
        """
        began = asyncio.get_running_loop().time()
        options, arguments = self.sampling.effective(request), self.thinking.template_arguments(request)
        rendered, truncation = await self._render(request, options, arguments)
        form = await self.forms.params(
            request, rendered.chat, may_think=self.parsers.may_open_thoughts(rendered.prompt_token_ids, arguments)
        )
        params = self.sampling.params(request, rendered, options)
        params.structured_outputs = form
        wanted, limit = wanted or request.response_options, options.time_limit_seconds
        reading = self._reading(request, rendered)

        def convert_logprobs(completion: Output) -> tuple[TokenLogprob, ...]:
            return self.logprobs.of_output(options, completion.token_ids, completion.logprobs or ())

        convert = convert_logprobs if options.top_logprobs is not None or options.logprob_token_ids else None

        def new_stage(index: int) -> Stage:
            if not self.parsers.reads_anything:
                return DeltaStage(index, convert, has_token_ids=wanted.token_ids)
            parser = self.parsers.new(reading.chat, rendered.prompt_token_ids, arguments)
            return ParsedStage(index, parser, reading, convert, has_token_ids=wanted.token_ids)

        return VllmPrompt(
            request=request,
            options=options,
            engine_input=rendered.engine_input,
            params=params,
            hints=self.parsers.hints(rendered.chat, rendered.prompt_token_ids, arguments) if form is not None else {},
            started=Started(
                prompt_token_count=rendered.prompt_token_count,
                max_output_tokens=params.max_tokens or 0,
                truncation=truncation,
                effective_options=self.sampling.in_force(options, params) if wanted.effective_options else None,
                prompt_text=rendered.prompt_text if wanted.prompt_text else "",
                prompt_token_ids=tuple(rendered.prompt_token_ids) if wanted.token_ids else (),
            ),
            new_stage=new_stage,
            convert_prompt_logprobs=lambda found: self.logprobs.of_prompt(options, rendered.prompt_token_ids, found),
            ends_at=None if limit is None else began + limit,
        )

    async def _render(
        self,
        request: GenerationRequest,
        options: GenerationOptions,
        arguments: dict[str, Any],
        *,
        is_counting: bool = False,
    ) -> tuple[Rendered, ContextTruncation | None]:
        self._refuse_the_impossible(request, options)
        if request.tools:
            await asyncio.to_thread(check_tools, request.tools, request.field_prefix)
        salt = self.salt.of(request.client.id)

        def render(messages: tuple[Message, ...]) -> Awaitable[Rendered]:
            rest = request if messages is request.messages else replace(request, messages=messages)
            return self.rendering.render(rest, options, arguments, salt)

        return await self.fitting.fit(request, render, is_counting=is_counting)

    def _reading(self, request: GenerationRequest, rendered: Rendered) -> Reading:
        return Reading(
            self.parsers.to_read_by(rendered.chat, request.tools),
            rendered.prompt_token_ids,
            ToolJudge.of(request),
            has_thoughts=request.reasoning.is_included,
            max_calls=request.max_calls,
        )

    def _refuse_the_impossible(self, request: GenerationRequest, options: GenerationOptions) -> None:
        """Refuse what this model, or this server yet, cannot do.

        Raises:
            PalaverError: naming the field.
        """
        prefix = request.field_prefix
        if request.tools and not self.parsers.reads_tools:
            raise invalid_field(
                f"{prefix}tools",
                "this model's tool calls are not understood; start the server with --tool-call-parser for it",
            )
        self._refuse_demands(request)
        if (refusal := refuse_strictness(request.tools, self.parsers, request)) is not None:
            raise refusal
        tells_logprobs = options.top_logprobs is not None or bool(options.logprob_token_ids)
        tells_tokens = tells_logprobs or request.response_options.token_ids
        if tells_tokens and self.parsers.reads_thoughts and not request.reasoning.is_included:
            raise invalid_field(
                f"{prefix}reasoning.include_reasoning",
                "cannot be false where tokens or their log probabilities are asked for: they would tell the thoughts",
            )

    def _refuse_demands(self, request: GenerationRequest) -> None:
        """Refuse to make a model call that cannot be made to."""
        field, parsers = f"{request.field_prefix}tool_choice", self.parsers
        if isinstance(request.tool_choice, NamedTool) and not parsers.can_demand_one_tool:
            raise invalid_field(field, "this model cannot be made to call; offer the tools and leave it the choice")
        if request.tool_choice is ToolChoiceMode.REQUIRED and not parsers.can_demand_calls:
            advice = "name one tool, or " if parsers.can_demand_one_tool else "offer the tools and "
            raise invalid_field(field, f"this model cannot be made to call some tool; {advice}leave it the choice")
