"""Which fields of the contract this server acts on. A set field that is not among them is refused, never dropped."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf import unknown_fields
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from palaver_server.core.errors import FieldViolation, PalaverError, Reason

_SUPPORTED: dict[str, tuple[str, ...]] = {
    "StreamChatRequest": ("chat", "include_running_usage", "min_tokens_per_delta"),
    "CountTokensRequest": ("chat",),
    "ExplainChatRequest": ("chat",),
    "ChatRequest": (
        "model",
        "messages",
        "options",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning",
        "context_policy",
        "continue_final_message",
        "chat_template_arguments_json",
        "response_options",
        "user_id",
        "labels",
        "priority",
    ),
    "Message": ("role", "content", "tool_calls", "tool_call_id", "reasoning", "name"),
    "ToolCall": ("id", "name", "arguments_json", "state", "problem"),
    "Tool": ("name", "description", "parameters_json_schema", "strict"),
    "ToolChoice": ("mode", "tool_name"),
    "ResponseFormat": ("text", "json_object", "json_schema", "regex", "choice", "grammar", "structural_tag_json"),
    "JsonSchemaFormat": ("name", "description", "json_schema"),
    "ChoiceFormat": ("values",),
    "ReasoningOptions": ("enabled", "effort", "budget_tokens", "include_reasoning"),
    "ContextPolicy": ("overflow", "max_prompt_tokens", "reserved_output_tokens"),
    "ContentPart": ("text",),
    "GenerationOptions": (
        "max_output_tokens",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "stop_sequences",
        "seed",
        "time_limit",
        "stop_before_deadline",
        "choice_count",
        "top_logprobs",
        "min_output_tokens",
        "stop_token_ids",
        "ignore_eos",
        "include_stop_sequence",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "logit_bias",
        "bad_words",
        "allowed_token_ids",
        "logprob_token_ids",
        "prompt_top_logprobs",
        "repetition_detection",
        "watermarking",
    ),
    "RepetitionDetection": ("max_pattern_tokens", "min_pattern_tokens", "min_repeat_count"),
    "ResponseOptions": ("include_effective_options", "include_token_ids", "include_prompt_text"),
    "ListModelsRequest": ("page_size", "page_token"),
    "GetModelRequest": ("name",),
    "GetOpenAIModelRequest": ("model",),
}

SUPPORTED_FIELDS = frozenset(
    f"palaver.v1.{message}.{field}" for message, fields in _SUPPORTED.items() for field in fields
)
"""Full names. A feature that comes to life adds its fields here."""


def refuse_unsupported(request: Message) -> None:
    """Look through a request for fields that nobody here reads.

    Raises:
        PalaverError: ``FIELD_NOT_SUPPORTED``, naming each such field by its path; a field that this contract does not
            have at all is named by its number.
    """
    if paths := list(_unsupported_paths(request, "")):
        first = paths[0]
        raise PalaverError(
            Reason.FIELD_NOT_SUPPORTED,
            f"{first}: this server does not support the field yet; leave it unset",
            violations=[FieldViolation(path, "not supported by this server; leave it unset") for path in paths],
        )


def _unsupported_paths(message: Message, prefix: str) -> Iterator[str]:
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        if field.full_name not in SUPPORTED_FIELDS:
            yield path
        elif not _is_of_the_contract(field.message_type):
            continue
        elif field.is_repeated:
            for index, item in enumerate(value):
                yield from _unsupported_paths(item, f"{path}[{index}].")
        else:
            yield from _unsupported_paths(value, f"{path}.")
    unknown = unknown_fields.UnknownFieldSet(message)
    for index in range(len(unknown)):
        yield f"{prefix}{unknown[index].field_number}"


def _is_of_the_contract(kind: Descriptor | None) -> bool:
    """Whether a field holds messages with fields of their own to look at; a map's entries have none."""
    return kind is not None and kind.full_name.startswith("palaver.") and not kind.GetOptions().map_entry
