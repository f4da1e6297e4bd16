"""A request in the words of vLLM's own chat API, from which vLLM renders the prompt and makes sampling parameters."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from pydantic import PrivateAttr
from vllm.config import ModelConfig
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.renderers import ChatParams, TokenizeParams
from vllm.sampling_params import RepetitionDetectionParams

from palaver_server.core.conversation import Message
from palaver_server.core.errors import invalid_field
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.options import GenerationOptions
from palaver_server.core.response_format import JsonObjectFormat, JsonSchemaFormat, ResponseFormat
from palaver_server.core.tools import NamedTool, Tool, ToolChoiceMode
from palaver_server.engine.tool_judge import parameters

_DEFAULT_SAMPLING: Any = ChatCompletionRequest.__private_attributes__["_DEFAULT_SAMPLING_PARAMS"].default


class VllmChatRequest(ChatCompletionRequest):
    """vLLM's request without its limits on tokens, and with a form of the answer that is only shown.

    vLLM would stop counting one token beyond the context; who is refused wants to know by how much. And it would
    compile the form while it adjusts the request to tools, on the event loop.
    """

    shown_format: Any = None
    """OpenAI's ``response_format`` for chat templates that show it."""
    _DEFAULT_SAMPLING_PARAMS: dict[str, Any] = PrivateAttr(default_factory=lambda: _DEFAULT_SAMPLING)
    """vLLM's own, which each request would have a deep copy of. They are only read."""

    def build_chat_params(self, *args: Any, **kwargs: Any) -> ChatParams:
        """Give the chat template what it is shown."""
        params = super().build_chat_params(*args, **kwargs)
        return params if self.shown_format is None else replace(params, response_format=self.shown_format)

    def build_tok_params(self, model_config: ModelConfig) -> TokenizeParams:
        """Tell the tokenizer to take everything."""
        return TokenizeParams(max_total_tokens=None, add_special_tokens=self.add_special_tokens)


def vllm_chat_request(
    request: GenerationRequest, options: GenerationOptions, template_arguments: dict[str, Any]
) -> VllmChatRequest:
    """Say a request in vLLM's words.

    Args:
        request: the conversation.
        options: how to sample: the request's, completed with the server's defaults.
        template_arguments: for the chat template, those about thinking included.

    Raises:
        PalaverError: the arguments of an earlier tool call are no JSON object.
        pydantic.ValidationError: vLLM does not take a value.
    """
    return VllmChatRequest(
        messages=[
            _message(message, f"{request.field_prefix}messages[{place}]")
            for place, message in enumerate(request.messages)
        ],
        request_id=request.request_id,  # a name that nobody asks for; else vLLM makes one
        # Not as a stream, whatever it is: vLLM's server has no place in a stream for what it knows of the prompt.
        stream=False,
        stream_interval=request.min_tokens_per_delta,
        continue_final_message=request.continues_final_message,
        add_generation_prompt=not request.continues_final_message,
        chat_template_kwargs=template_arguments or None,
        shown_format=_shown(request.response_format),
        thinking_token_budget=request.reasoning.budget_tokens,
        **_tools(request),
        **_sampling(options),
    )


def _shown(form: ResponseFormat | None) -> dict[str, Any] | None:
    match form:
        case JsonObjectFormat():
            return {"type": "json_object"}
        case JsonSchemaFormat():
            schema: dict[str, Any] = {"name": form.name or "answer", "schema": _schema(form.json_schema)}
            if form.description:
                schema["description"] = form.description
            return {"type": "json_schema", "json_schema": schema}
        case _:
            return None


def _schema(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return {}  # refused before anything is generated


def _tools(request: GenerationRequest) -> dict[str, Any]:
    if not request.tools:
        return {}
    match request.tool_choice or ToolChoiceMode.AUTO:
        case NamedTool(name):
            choice: Any = {"type": "function", "function": {"name": name}}
        case ToolChoiceMode() as mode:
            choice = mode.value
    return {
        "tools": [_tool(tool) for tool in request.tools],
        "tool_choice": choice,
        "parallel_tool_calls": request.is_parallel_calling,
    }


def _tool(tool: Tool) -> Any:
    function: dict[str, Any] = {"name": tool.name, "parameters": parameters(tool)}
    if tool.description:
        function["description"] = tool.description
    if tool.is_strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _sampling(options: GenerationOptions) -> dict[str, Any]:
    repetition = options.repetition_detection
    # vLLM takes no 0 here. Of the likeliest tokens that make up no probability at all there is one.
    only_likeliest = options.top_p == 0
    said = {
        "n": options.choice_count,
        "temperature": options.temperature,
        "top_p": 1.0 if only_likeliest else options.top_p,
        "top_k": 1 if only_likeliest else options.top_k,
        "min_p": options.min_p,
        "presence_penalty": options.presence_penalty,
        "frequency_penalty": options.frequency_penalty,
        "repetition_penalty": options.repetition_penalty,
        "seed": options.seed,
        "min_tokens": options.min_output_tokens,
        "ignore_eos": options.ignores_eos,
        "include_stop_str_in_output": options.includes_stop_sequence,
        "skip_special_tokens": options.skips_special_tokens,
        "spaces_between_special_tokens": options.spaces_between_special_tokens,
        "watermarking": options.is_watermarked,
        "prompt_logprobs": options.prompt_top_logprobs,
        "repetition_detection": None
        if repetition is None
        else RepetitionDetectionParams(
            repetition.max_pattern_tokens, repetition.min_pattern_tokens, repetition.min_repeat_count
        ),
        "stop": list(options.stop_sequences) or None,
        "stop_token_ids": list(options.stop_token_ids) or None,
        "bad_words": list(options.bad_words) or None,
        "allowed_token_ids": list(options.allowed_token_ids) or None,
        "logprob_token_ids": list(options.logprob_token_ids) or None,
        "logit_bias": {str(token_id): bias for token_id, bias in options.logit_bias.items()} or None,
    }
    if options.top_logprobs is not None or options.logprob_token_ids:
        said["logprobs"] = True
        said["top_logprobs"] = options.top_logprobs or 0
    return {name: value for name, value in said.items() if value is not None}


def _message(message: Message, field: str) -> Any:
    said: dict[str, Any] = {"role": message.role.value, "content": _content(message)}
    if message.tool_calls:
        said["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": _arguments(call.arguments_json, f"{field}.tool_calls[{place}].arguments_json"),
                },
            }
            for place, call in enumerate(message.tool_calls)
        ]
        if not message.content:
            said["content"] = None
    if message.tool_call_id:
        said["tool_call_id"] = message.tool_call_id
    if message.reasoning:
        said["reasoning"] = message.reasoning
    if message.name:
        said["name"] = message.name
    return said


def _content(message: Message) -> Any:
    """Several parts stay apart: some chat templates take them as a list, and for the others vLLM joins them."""
    if len(message.content) <= 1:
        return message.text
    return [{"type": "text", "text": part.text} for part in message.content]


def _arguments(text: str, field: str) -> str:
    """Chat templates are given the object itself: what cannot be read here would fail there, without its name."""
    if not text:
        return "{}"
    try:
        if isinstance(json.loads(text), dict):
            return text
    except (ValueError, RecursionError):
        pass
    raise invalid_field(field, "must be the text of a JSON object, for the model's chat template reads it")
