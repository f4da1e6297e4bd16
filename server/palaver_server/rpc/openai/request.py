"""A request's bytes into the contract's own request, which then goes the way of every other."""

from __future__ import annotations

from palaver.v1 import (
    chat_service_pb2,
    content_part_pb2,
    context_policy_pb2,
    message_pb2,
    role_pb2,
    tool_call_pb2,
    tool_pb2,
)
from palaver_server.core.strict_json import to_json
from palaver_server.rpc.openai.body import Body, Function, Message
from palaver_server.rpc.openai.contradictions import refuse_contradictions
from palaver_server.rpc.openai.options import options_to_proto
from palaver_server.rpc.openai.response_format import response_format_to_proto
from palaver_server.rpc.openai.thinking import set_reasoning, template_arguments

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


def request_from_body(body: Body) -> chat_service_pb2.StreamChatRequest:
    """Say a body in the words of the contract; for an answer in one piece the ``chat`` of it alone counts.

    Raises:
        PalaverError: fields contradict each other in a way that only OpenAI's protocol can.
    """
    refuse_contradictions(body)
    stream = chat_service_pb2.StreamChatRequest(
        chat=chat_service_pb2.ChatRequest(
            model=body.model,
            messages=[_message_to_proto(message) for message in body.messages],
            options=options_to_proto(body),
            tools=[_tool_to_proto(tool.function) for tool in body.tools or ()],
            response_format=response_format_to_proto(body),
            continue_final_message=body.continue_final_message or None,
            chat_template_arguments_json=template_arguments(body),
            priority=body.priority,
            user_id=body.safety_identifier or body.user or "",
            labels=body.metadata,
        )
    )
    chat = stream.chat
    _set_tool_choice(chat, body)
    set_reasoning(chat, body)
    _set_context_policy(chat, body)
    if body.return_token_ids:
        chat.response_options.include_token_ids = True
    if body.return_prompt_text:
        chat.response_options.include_prompt_text = True
    if body.stream_interval is not None:
        stream.min_tokens_per_delta = body.stream_interval
    return stream


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
