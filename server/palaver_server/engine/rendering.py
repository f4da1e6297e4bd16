"""From a conversation to the tokens that the model reads, by vLLM's own renderer: the same as ``vllm serve``."""

from __future__ import annotations

from typing import Any, NamedTuple

from vllm.config import ModelConfig
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.inputs import EngineInput
from vllm.renderers import TokenizeParams
from vllm.renderers.chat_utils import load_chat_template
from vllm.renderers.inputs.preprocess import extract_prompt_len
from vllm.renderers.online_renderer import OnlineRenderer
from vllm.v1.engine.async_llm import AsyncLLM

from palaver_server.core.errors import invalid_field
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.options import GenerationOptions
from palaver_server.engine.vllm_args import VllmArguments
from palaver_server.engine.vllm_errors import translated


class Rendered(NamedTuple):
    """A conversation in the model's own form."""

    chat: ChatCompletionRequest
    """The request as vLLM knows it; the renderer may have adjusted it."""
    engine_input: EngineInput
    prompt_token_count: int


class Rendering:
    """Renders conversations for one engine. Templates and tokenizer run in vLLM's threads, not on the event loop."""

    def __init__(self, llm: AsyncLLM, arguments: VllmArguments) -> None:
        self._renderer = OnlineRenderer(
            model_config=llm.model_config,
            renderer=llm.renderer,
            request_logger=None,
            chat_template=load_chat_template(arguments.chat_template),
            chat_template_content_format=arguments.chat_template_content_format,
            default_chat_template_kwargs=arguments.default_chat_template_kwargs,
        )

    def warm_up(self) -> None:
        """Compile the chat template. Blocks."""
        self._renderer.warmup()

    async def render(self, request: GenerationRequest, options: GenerationOptions) -> Rendered:
        """Render and count, however long the conversation is.

        Args:
            request: the conversation.
            options: how to sample: the request's, completed with the server's defaults.

        Raises:
            PalaverError: a field does not fit the model or its chat template.
        """
        with translated(request.field_prefix):
            chat = _chat_request(request, options)
            result = await self._renderer.render_chat(chat)
        if isinstance(result, ErrorResponse):
            raise invalid_field(f"{request.field_prefix}messages", result.error.message)
        (engine_input,) = result[1]
        return Rendered(chat, engine_input, extract_prompt_len(self._renderer.model_config, engine_input))


class _ChatRequest(ChatCompletionRequest):
    """vLLM's request without its limits on tokens.

    vLLM would stop counting one token beyond the context; who is refused wants to know by how much.
    """

    def build_tok_params(self, model_config: ModelConfig) -> TokenizeParams:
        return TokenizeParams(max_total_tokens=None, add_special_tokens=self.add_special_tokens)


def _chat_request(request: GenerationRequest, options: GenerationOptions) -> _ChatRequest:
    sampling: dict[str, Any] = {
        "temperature": options.temperature,
        "top_p": options.top_p,
        "top_k": options.top_k,
        "min_p": options.min_p,
        "presence_penalty": options.presence_penalty,
        "frequency_penalty": options.frequency_penalty,
        "repetition_penalty": options.repetition_penalty,
        "stop": list(options.stop_sequences),
        "seed": options.seed,
    }
    messages: list[Any] = [{"role": message.role.value, "content": message.text} for message in request.messages]
    return _ChatRequest(messages=messages, stream=request.is_streamed, **sampling)
