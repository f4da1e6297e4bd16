"""From a conversation to the tokens that the model reads, by vLLM's own renderer: the same as ``vllm serve``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.inputs import EngineInput
from vllm.renderers.chat_utils import load_chat_template
from vllm.renderers.inputs.preprocess import extract_prompt_components
from vllm.renderers.online_renderer import OnlineRenderer
from vllm.tokenizers import TokenizerLike
from vllm.v1.engine.async_llm import AsyncLLM

from palaver_server.core.context import ContextOverflow
from palaver_server.core.errors import invalid_field
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.options import GenerationOptions
from palaver_server.engine.vllm.answer.parsers import ParserNames
from palaver_server.engine.vllm.arguments import VllmArguments
from palaver_server.engine.vllm.errors import translated
from palaver_server.engine.vllm.prompt.adjusting import remembering
from palaver_server.engine.vllm.prompt.chat_request import VllmChatRequest, vllm_chat_request
from palaver_server.engine.vllm.prompt.in_place import in_place, is_short


class Rendered(NamedTuple):
    """A conversation in the model's own form."""

    chat: VllmChatRequest
    """The request as vLLM knows it; the renderer may have adjusted it."""
    engine_input: EngineInput
    prompt_token_ids: Sequence[int]

    @property
    def prompt_token_count(self) -> int:
        """Tokens of the prompt, template included."""
        return len(self.prompt_token_ids)

    @property
    def prompt_text(self) -> str:
        """What the chat template made of the conversation."""
        return str(self.engine_input.get("prompt") or "")

    def cut(self, side: ContextOverflow, limit: int) -> Rendered:
        """The same with its last or its first so many tokens alone."""
        ids = list(self.prompt_token_ids)
        kept = ids[-limit:] if side is ContextOverflow.TRUNCATE_START else ids[:limit]
        engine_input: Any = {**self.engine_input, "prompt_token_ids": kept}
        return self._replace(engine_input=engine_input, prompt_token_ids=kept)


class Rendering:
    """Renders conversations for one engine. For long ones templates and tokenizer run in vLLM's thread."""

    def __init__(self, llm: AsyncLLM, arguments: VllmArguments, parsers: ParserNames) -> None:
        self._template = load_chat_template(arguments.chat_template)
        new_renderer = partial(
            OnlineRenderer,
            model_config=llm.model_config,
            request_logger=None,
            chat_template=self._template,
            chat_template_content_format=arguments.chat_template_content_format,
            default_chat_template_kwargs=arguments.default_chat_template_kwargs,
            # vLLM's server does the same with a parser's help: it holds a model that calls to its tool format.
            tool_parser=parsers.tools,
            reasoning_parser=parsers.reasoning,
            enable_auto_tools=parsers.tools is not None,
            exclude_tools_when_tool_choice_none=arguments.exclude_tools_when_tool_choice_none,
            tool_strict_level=parsers.strictness,
        )
        self._renderer, self._in_place = (
            new_renderer(renderer=llm.renderer),
            new_renderer(renderer=in_place(llm.renderer)),
        )
        for renderer in (self._renderer, self._in_place):
            if renderer.parser is not None:
                renderer.parser = remembering(renderer.parser)

    def template(self, tokenizer: TokenizerLike) -> str:
        """The chat template's text: the operator's, or the model's own; empty where there is none."""
        own = getattr(tokenizer, "chat_template", None)
        if isinstance(own, dict):  # several by name, of which this is the one for chats
            own = own.get("default")
        return self._template or (own if isinstance(own, str) else "")

    def warm_up(self) -> None:
        """Compile the chat template. Blocks."""
        self._renderer.warmup()

    async def render(
        self,
        request: GenerationRequest,
        options: GenerationOptions,
        template_arguments: dict[str, Any],
        cache_salt: str | None = None,
    ) -> Rendered:
        """Render and count, however long the conversation is.

        Args:
            request: the conversation.
            options: how to sample: the request's, completed with the server's defaults.
            template_arguments: for the chat template.
            cache_salt: prompts find only those in the cache that have the same one.

        Raises:
            PalaverError: a field does not fit the model or its chat template.
        """
        with translated(request.field_prefix):
            chat = vllm_chat_request(request, options, template_arguments)
            chat.cache_salt = cache_salt
            renderer = self._in_place if is_short(request) else self._renderer
            result = await renderer.render_chat(chat)
        if isinstance(result, ErrorResponse):
            raise invalid_field(f"{request.field_prefix}messages", result.error.message)
        (engine_input,) = result[1]
        components = extract_prompt_components(self._renderer.model_config, engine_input)
        return Rendered(chat, engine_input, components.token_ids or ())
