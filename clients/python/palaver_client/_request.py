"""Keyword arguments as the contract's request."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from google.protobuf import duration_pb2

from palaver.v1 import (
    chat_service_pb2,
    context_policy_pb2,
    generation_options_pb2,
    reasoning_options_pb2,
    response_format_pb2,
    tool_pb2,
)
from palaver_client._messages import messages_from
from palaver_client._naming import naming
from palaver_client.options import Prompt

ChatRequest = chat_service_pb2.ChatRequest


def chat_request(prompt: Prompt, *, system: str | None, options: Mapping[str, Any]) -> ChatRequest:
    """Build the request of a chat. ``options`` are ``ChatOptions`` without those of the call.

    Raises:
        TypeError: an option is unknown or of the wrong type; the message names it.
        ValueError: a value cannot be written; the message names its option.
    """
    request = ChatRequest(messages=messages_from(prompt, system))
    for name, value in options.items():
        if value is None:
            continue
        if (write := _WRITERS.get(name)) is None:
            near = get_close_matches(name, _WRITERS, n=1)
            raise TypeError(f"there is no option {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        with naming(name):
            write(request, value)
    return request


def stream_request(
    prompt: Prompt, *, system: str | None, options: Mapping[str, Any]
) -> chat_service_pb2.StreamChatRequest:
    """Build the request of a stream. ``options`` are ``StreamOptions`` without those of the call.

    Raises:
        TypeError, ValueError: as ``chat_request``.
    """
    rest = dict(options)
    own = {name: rest.pop(name) for name in _STREAM_OPTIONS if name in rest}
    request = chat_service_pb2.StreamChatRequest(chat=chat_request(prompt, system=system, options=rest))
    for name, value in own.items():
        if value is not None:
            with naming(name):
                setattr(request, name, value)
    return request


_STREAM_OPTIONS = ("include_running_usage", "min_tokens_per_delta")

_Write = Callable[[ChatRequest, Any], None]


def _field(name: str) -> _Write:
    return lambda request, value: setattr(request, name, value)


def _knob(name: str) -> _Write:
    return lambda request, value: setattr(request.options, name, value)


def _knobs(name: str) -> _Write:
    return lambda request, values: getattr(request.options, name).extend(values)


def _extra(name: str) -> _Write:
    return lambda request, value: setattr(request.response_options, name, value)


def _stop_sequences(request: ChatRequest, value: Any) -> None:
    request.options.stop_sequences.extend([value] if isinstance(value, str) else value)


def _bad_words(request: ChatRequest, value: Any) -> None:
    if isinstance(value, str):
        raise TypeError("expected a sequence of texts, not one text")
    request.options.bad_words.extend(value)


def _time_limit(request: ChatRequest, value: Any) -> None:
    limit = value if isinstance(value, timedelta) else timedelta(seconds=value)
    duration = duration_pb2.Duration()
    duration.FromTimedelta(limit)
    request.options.time_limit.CopyFrom(duration)


def _tools(request: ChatRequest, value: Any) -> None:
    for index, tool in enumerate(value):
        if isinstance(tool, tool_pb2.Tool):
            request.tools.append(tool)
            continue
        known = dict(tool)
        parameters = known.pop("parameters", None)
        if "name" not in known or (unknown := sorted(known.keys() - {"name", "description", "strict"})):
            wrong = f"there is no key {unknown[0]!r}" if "name" in known else "the name is missing"
            raise ValueError(f"tool {index}: {wrong}; a tool has name, description, parameters and strict")
        request.tools.add(**known, parameters_json_schema="" if parameters is None else _json(parameters))


def _tool_choice(request: ChatRequest, value: Any) -> None:
    if isinstance(value, tool_pb2.ToolChoice):
        request.tool_choice.CopyFrom(value)
    elif value in ("auto", "none", "required"):
        request.tool_choice.mode = tool_pb2.ToolChoiceMode.Value(f"TOOL_CHOICE_MODE_{value.upper()}")
    else:
        request.tool_choice.tool_name = value


def _response_format(request: ChatRequest, value: Any) -> None:
    if isinstance(value, response_format_pb2.ResponseFormat):
        request.response_format.CopyFrom(value)
    elif isinstance(value, Mapping):
        request.response_format.json_schema.json_schema = _json(value)
    elif isinstance(value, type) and hasattr(value, "model_json_schema"):
        request.response_format.json_schema.json_schema = _json(value.model_json_schema())
    elif value == "text":
        request.response_format.text.SetInParent()
    elif value == "json_object":
        request.response_format.json_object.SetInParent()
    else:
        raise ValueError(
            "write 'text', 'json_object', a JSON Schema, a class with model_json_schema or a ResponseFormat, "
            f"not {value!r}"
        )


def _reasoning(request: ChatRequest, value: Any) -> None:
    if isinstance(value, reasoning_options_pb2.ReasoningOptions):
        request.reasoning.CopyFrom(value)
    elif isinstance(value, bool):
        request.reasoning.enabled = value
    else:
        request.reasoning.effort = _enum(reasoning_options_pb2.ReasoningEffort, "REASONING_EFFORT_", value)


def _context_policy(request: ChatRequest, value: Any) -> None:
    if isinstance(value, context_policy_pb2.ContextPolicy):
        request.context_policy.CopyFrom(value)
    else:
        request.context_policy.overflow = _enum(context_policy_pb2.ContextOverflow, "CONTEXT_OVERFLOW_", value)


def _enum(enum: Any, prefix: str, value: object) -> Any:
    known = {name.removeprefix(prefix).lower(): number for name, number in enum.items() if number}
    if value not in known:
        raise ValueError(f"must be one of {', '.join(known)}, not {value!r}")
    return known[value]


def _chat_template_arguments(request: ChatRequest, value: Any) -> None:
    request.chat_template_arguments_json = _json(value)


def _json(value: Any) -> str:
    # No NaN: it is no JSON. The order of keys is kept, since the model sees it and writes in it.
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


_WRITERS: dict[str, _Write] = {
    **{
        name: _knobs(name) if descriptor.is_repeated else _knob(name)
        for name, descriptor in generation_options_pb2.GenerationOptions.DESCRIPTOR.fields_by_name.items()
    },
    "stop_sequences": _stop_sequences,
    "bad_words": _bad_words,
    "logit_bias": lambda request, value: request.options.logit_bias.update(value),
    "time_limit": _time_limit,
    "repetition_detection": lambda request, value: request.options.repetition_detection.CopyFrom(value),
    **{
        name: _field(name) for name in ("model", "parallel_tool_calls", "continue_final_message", "user_id", "priority")
    },
    **{name: _extra(name) for name in ("include_effective_options", "include_token_ids", "include_prompt_text")},
    "labels": lambda request, value: request.labels.update(value),
    "tools": _tools,
    "tool_choice": _tool_choice,
    "response_format": _response_format,
    "reasoning": _reasoning,
    "context_policy": _context_policy,
    "chat_template_arguments": _chat_template_arguments,
}
"""How each option gets into the request. A test holds it against ``ChatOptions`` and against the contract."""
