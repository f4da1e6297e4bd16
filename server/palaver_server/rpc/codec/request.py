"""A request: the conversation and all that is asked about its answer."""

from __future__ import annotations

from palaver.v1 import (
    chat_service_pb2,
    context_policy_pb2,
    message_pb2,
    reasoning_options_pb2,
    response_format_pb2,
    role_pb2,
    tool_pb2,
)
from palaver_server.core.context import ContextOverflow, ContextPolicy
from palaver_server.core.conversation import Message, Role, TextPart
from palaver_server.core.generation import GenerationRequest, ResponseOptions
from palaver_server.core.identity.client import Client
from palaver_server.core.reasoning import ReasoningEffort, ReasoningOptions
from palaver_server.core.response_format import (
    ChoiceFormat,
    GrammarFormat,
    JsonObjectFormat,
    JsonSchemaFormat,
    RegexFormat,
    ResponseFormat,
    StructuralTagFormat,
)
from palaver_server.core.template_arguments import parse_template_arguments
from palaver_server.core.tools import NamedTool, Tool, ToolCall, ToolChoice, ToolChoiceMode
from palaver_server.rpc.codec.options import options_from_proto

_ROLES = {
    role_pb2.ROLE_SYSTEM: Role.SYSTEM,
    role_pb2.ROLE_USER: Role.USER,
    role_pb2.ROLE_ASSISTANT: Role.ASSISTANT,
    role_pb2.ROLE_TOOL: Role.TOOL,
}
_TOOL_CHOICE_MODES = {
    tool_pb2.TOOL_CHOICE_MODE_AUTO: ToolChoiceMode.AUTO,
    tool_pb2.TOOL_CHOICE_MODE_NONE: ToolChoiceMode.NONE,
    tool_pb2.TOOL_CHOICE_MODE_REQUIRED: ToolChoiceMode.REQUIRED,
}
_EFFORTS = {
    reasoning_options_pb2.REASONING_EFFORT_MINIMAL: ReasoningEffort.MINIMAL,
    reasoning_options_pb2.REASONING_EFFORT_LOW: ReasoningEffort.LOW,
    reasoning_options_pb2.REASONING_EFFORT_MEDIUM: ReasoningEffort.MEDIUM,
    reasoning_options_pb2.REASONING_EFFORT_HIGH: ReasoningEffort.HIGH,
    reasoning_options_pb2.REASONING_EFFORT_XHIGH: ReasoningEffort.XHIGH,
    reasoning_options_pb2.REASONING_EFFORT_MAX: ReasoningEffort.MAX,
}
_OVERFLOWS = {
    context_policy_pb2.CONTEXT_OVERFLOW_REJECT: ContextOverflow.REJECT,
    context_policy_pb2.CONTEXT_OVERFLOW_DROP_OLDEST: ContextOverflow.DROP_OLDEST,
    context_policy_pb2.CONTEXT_OVERFLOW_TRUNCATE_START: ContextOverflow.TRUNCATE_START,
    context_policy_pb2.CONTEXT_OVERFLOW_TRUNCATE_END: ContextOverflow.TRUNCATE_END,
}
_NO_REASONING_OPTIONS = ReasoningOptions()
_NO_CONTEXT_POLICY = ContextPolicy()


def request_from_proto(
    chat: chat_service_pb2.ChatRequest,
    *,
    request_id: str,
    client: Client,
    is_streamed: bool,
    field_prefix: str,
    deadline: float | None,
    has_running_usage: bool = False,
    min_tokens_per_delta: int | None = None,
) -> GenerationRequest:
    """The request of the domain. The message has passed the contract's rules.

    Raises:
        PalaverError: a text that must be JSON is not, or a length of time is malformed.
    """
    wanted = chat.response_options
    return GenerationRequest(
        request_id=request_id,
        client=client,
        model=chat.model.removeprefix("models/"),
        messages=tuple(map(_message_from_proto, chat.messages)),
        options=options_from_proto(chat.options, field_prefix),
        is_streamed=is_streamed,
        field_prefix=field_prefix,
        deadline=deadline,
        tools=tuple(map(_tool_from_proto, chat.tools)),
        tool_choice=_tool_choice_from_proto(chat.tool_choice) if chat.HasField("tool_choice") else None,
        is_parallel_calling=chat.parallel_tool_calls if chat.HasField("parallel_tool_calls") else True,
        response_format=_format_from_proto(chat.response_format) if chat.HasField("response_format") else None,
        reasoning=_reasoning_from_proto(chat.reasoning) if chat.HasField("reasoning") else _NO_REASONING_OPTIONS,
        context_policy=_context_policy_from_proto(chat.context_policy)
        if chat.HasField("context_policy")
        else _NO_CONTEXT_POLICY,
        continues_final_message=chat.continue_final_message,
        chat_template_arguments=parse_template_arguments(chat.chat_template_arguments_json, field_prefix),
        response_options=ResponseOptions(
            effective_options=wanted.include_effective_options,
            token_ids=wanted.include_token_ids,
            prompt_text=wanted.include_prompt_text,
            running_usage=has_running_usage,
        ),
        min_tokens_per_delta=min_tokens_per_delta,
        user_id=chat.user_id,
        labels=dict(chat.labels),
        priority=chat.priority,
    )


def _message_from_proto(message: message_pb2.Message) -> Message:
    return Message(
        role=_ROLES[message.role],
        content=tuple([TextPart(part.text) for part in message.content]),
        tool_calls=tuple([ToolCall(call.id, call.name, call.arguments_json) for call in message.tool_calls]),
        tool_call_id=message.tool_call_id,
        reasoning=message.reasoning,
        name=message.name,
    )


def _tool_from_proto(tool: tool_pb2.Tool) -> Tool:
    return Tool(tool.name, tool.description, tool.parameters_json_schema, tool.strict)


def _tool_choice_from_proto(choice: tool_pb2.ToolChoice) -> ToolChoice:
    if choice.HasField("tool_name"):
        return NamedTool(choice.tool_name)
    return _TOOL_CHOICE_MODES[choice.mode]


def _format_from_proto(form: response_format_pb2.ResponseFormat) -> ResponseFormat | None:
    match form.WhichOneof("format"):
        case "json_object":
            return JsonObjectFormat()
        case "json_schema":
            schema = form.json_schema
            return JsonSchemaFormat(schema.json_schema, schema.name, schema.description)
        case "regex":
            return RegexFormat(form.regex)
        case "choice":
            return ChoiceFormat(tuple(form.choice.values))
        case "grammar":
            return GrammarFormat(form.grammar)
        case "structural_tag_json":
            return StructuralTagFormat(form.structural_tag_json)
        case _:
            return None


def _reasoning_from_proto(reasoning: reasoning_options_pb2.ReasoningOptions) -> ReasoningOptions:
    return ReasoningOptions(
        is_enabled=reasoning.enabled if reasoning.HasField("enabled") else None,
        effort=_EFFORTS[reasoning.effort] if reasoning.HasField("effort") else None,
        budget_tokens=reasoning.budget_tokens if reasoning.HasField("budget_tokens") else None,
        is_included=reasoning.include_reasoning if reasoning.HasField("include_reasoning") else True,
    )


def _context_policy_from_proto(policy: context_policy_pb2.ContextPolicy) -> ContextPolicy:
    return ContextPolicy(
        overflow=_OVERFLOWS[policy.overflow] if policy.HasField("overflow") else None,
        max_prompt_tokens=policy.max_prompt_tokens if policy.HasField("max_prompt_tokens") else None,
        reserved_output_tokens=policy.reserved_output_tokens if policy.HasField("reserved_output_tokens") else None,
    )
