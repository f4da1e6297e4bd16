"""A request's bytes into the contract's own request, which then goes the way of every other."""

from __future__ import annotations

from typing import Any

from palaver.v1 import (
    chat_service_pb2,
    content_part_pb2,
    context_policy_pb2,
    message_pb2,
    reasoning_options_pb2,
    role_pb2,
    tool_call_pb2,
    tool_pb2,
)
from palaver_server.core.errors import invalid_field
from palaver_server.core.strict_json import to_json
from palaver_server.rpc.openai.body import Body, Function, Message
from palaver_server.rpc.openai.options import options_to_proto
from palaver_server.rpc.openai.response_format import response_format_to_proto

THINKING_SWITCHES = ("enable_thinking", "thinking")
"""By these arguments of their chat templates vLLM's callers switch thinking: the contract has a field for it."""
_ROLES = {
    "developer": role_pb2.ROLE_SYSTEM,  # OpenAI's newer name of the same rank
    "system": role_pb2.ROLE_SYSTEM,
    "user": role_pb2.ROLE_USER,
    "assistant": role_pb2.ROLE_ASSISTANT,
    "tool": role_pb2.ROLE_TOOL,
}
_TOOL_CHOICES = {
    "none": tool_pb2.TOOL_CHOICE_MODE_NONE,
    "auto": tool_pb2.TOOL_CHOICE_MODE_AUTO,
    "required": tool_pb2.TOOL_CHOICE_MODE_REQUIRED,
}
_EFFORTS = {
    "minimal": reasoning_options_pb2.REASONING_EFFORT_MINIMAL,
    "low": reasoning_options_pb2.REASONING_EFFORT_LOW,
    "medium": reasoning_options_pb2.REASONING_EFFORT_MEDIUM,
    "high": reasoning_options_pb2.REASONING_EFFORT_HIGH,
    "xhigh": reasoning_options_pb2.REASONING_EFFORT_XHIGH,
    "max": reasoning_options_pb2.REASONING_EFFORT_MAX,
}


def request_from_body(body: Body) -> chat_service_pb2.StreamChatRequest:
    """Say a body in the words of the contract; for an answer in one piece the ``chat`` of it alone counts.

    Raises:
        PalaverError: fields contradict each other in a way that only OpenAI's protocol can.
    """
    _refuse_contradictions(body)
    stream = chat_service_pb2.StreamChatRequest(
        chat=chat_service_pb2.ChatRequest(
            model=body.model,
            messages=[_message_to_proto(message) for message in body.messages],
            options=options_to_proto(body),
            tools=[_tool_to_proto(tool.function) for tool in body.tools or ()],
            response_format=response_format_to_proto(body),
            continue_final_message=body.continue_final_message or None,
            chat_template_arguments_json=_template_arguments(body),
            priority=body.priority,
            user_id=body.safety_identifier or body.user or "",
            labels=body.metadata,
        )
    )
    chat = stream.chat
    _set_tool_choice(chat, body)
    _set_reasoning(chat, body)
    _set_context_policy(chat, body)
    if body.return_token_ids:
        chat.response_options.include_token_ids = True
    if body.return_prompt_text:
        chat.response_options.include_prompt_text = True
    if body.stream and body.stream_interval is not None:
        stream.min_tokens_per_delta = body.stream_interval
    return stream


def _refuse_contradictions(body: Body) -> None:
    if body.stream_options is not None and not body.stream:
        raise invalid_field("stream_options", "is only for streams; set stream to true too")
    if body.stream_interval is not None and body.stream_interval < 1:
        raise invalid_field("stream_interval", "must be at least 1")
    if _differ(body.max_tokens, body.max_completion_tokens):
        raise invalid_field("max_tokens", "differs from max_completion_tokens; send the latter alone")
    if _differ(body.user, body.safety_identifier):
        raise invalid_field("user", "differs from safety_identifier; send the latter alone")
    if body.top_logprobs and not body.logprobs:
        raise invalid_field("top_logprobs", "needs logprobs set to true")
    if body.logprob_token_ids and not body.logprobs:
        raise invalid_field("logprob_token_ids", "needs logprobs set to true")
    if body.tools == []:
        raise invalid_field("tools", "must not be an empty list; leave it out to offer none")
    if body.add_generation_prompt is not None and body.add_generation_prompt is bool(body.continue_final_message):
        raise invalid_field("add_generation_prompt", "must be false with continue_final_message, and true without")
    if body.truncation_side is not None and body.truncate_prompt_tokens is None:
        raise invalid_field("truncation_side", "needs truncate_prompt_tokens")


def _differ(one: object, other: object) -> bool:
    return one is not None and other is not None and one != other


def _message_to_proto(message: Message) -> message_pb2.Message:
    content = message.content
    texts = [content] if isinstance(content, str) else [part.text for part in content or ()]
    return message_pb2.Message(
        role=_ROLES[message.role],
        content=[content_part_pb2.ContentPart(text=text) for text in texts],
        name=message.name,
        tool_call_id=message.tool_call_id,
        reasoning=message.reasoning or message.reasoning_content or message.provider_specific_fields.reasoning,
        tool_calls=[
            tool_call_pb2.ToolCall(id=call.id, name=call.function.name, arguments_json=call.function.arguments)
            for call in message.tool_calls
        ],
    )


def _set_tool_choice(chat: chat_service_pb2.ChatRequest, body: Body) -> None:
    choice = body.tool_choice
    if isinstance(choice, str):
        chat.tool_choice.mode = _TOOL_CHOICES[choice]
    elif choice is not None:
        chat.tool_choice.tool_name = choice.function.name
    if body.parallel_tool_calls is not None and body.tools:
        chat.parallel_tool_calls = body.parallel_tool_calls


def _tool_to_proto(function: Function) -> tool_pb2.Tool:
    tool = tool_pb2.Tool(name=function.name, description=function.description)
    if function.parameters is not None:
        tool.parameters_json_schema = to_json(function.parameters)
    if function.strict is not None:
        tool.strict = function.strict
    return tool


def _template_arguments(body: Body) -> str:
    arguments = {name: value for name, value in _arguments(body).items() if not _is_thinking_switch(name, value)}
    return to_json(arguments) if arguments else ""


def _arguments(body: Body) -> dict[str, Any]:
    return body.chat_template_kwargs or {}


def _is_thinking_switch(name: str, value: object) -> bool:
    return name in THINKING_SWITCHES and isinstance(value, bool)


def _set_reasoning(chat: chat_service_pb2.ChatRequest, body: Body) -> None:
    for name, value in _arguments(body).items():
        if _is_thinking_switch(name, value):
            chat.reasoning.enabled = value
    if body.reasoning_effort == "none":
        chat.reasoning.enabled = False
    elif body.reasoning_effort is not None:
        chat.reasoning.effort = _EFFORTS[body.reasoning_effort]
    if body.thinking_token_budget is not None and body.thinking_token_budget != -1:  # -1: no bound, at vLLM
        chat.reasoning.budget_tokens = body.thinking_token_budget
    if body.include_reasoning is False:
        chat.reasoning.include_reasoning = False


def _set_context_policy(chat: chat_service_pb2.ChatRequest, body: Body) -> None:
    if body.truncate_prompt_tokens is None:
        return
    from_end = body.truncation_side == "right"
    chat.context_policy.overflow = (
        context_policy_pb2.CONTEXT_OVERFLOW_TRUNCATE_END
        if from_end
        else context_policy_pb2.CONTEXT_OVERFLOW_TRUNCATE_START
    )
    if body.truncate_prompt_tokens != -1:  # -1: what the context holds
        chat.context_policy.max_prompt_tokens = body.truncate_prompt_tokens
