"""Which fields of the contract this server acts on. A set field that is not among them is refused, never dropped."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from functools import cache
from itertools import islice

from google.protobuf import unknown_fields
from google.protobuf.descriptor import FieldDescriptor
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


MAX_REPORTED = 16
"""Fields told of one request; more help nobody."""
MAX_LISTED_BYTES = 4096
"""Of unknown fields of one message; of more the first alone is told, for the library would list a million at once."""


def refuse_unsupported(request: Message, prefix: str = "") -> None:
    """Look through a request, or a part of one, for fields that nobody here reads.

    Args:
        request: all of it or one message in it.
        prefix: what stands before its fields' paths.

    Raises:
        PalaverError: ``FIELD_NOT_SUPPORTED``, naming such fields by their paths; a field that this contract does not
            have at all is named by its number.
    """
    if paths := list(islice(_unsupported_paths(request, prefix, _has_unknown(request)), MAX_REPORTED)):
        first = paths[0]
        raise PalaverError(
            Reason.FIELD_NOT_SUPPORTED,
            f"{first}: this server does not support the field yet; leave it unset",
            violations=[FieldViolation(path, "not supported by this server; leave it unset") for path in paths],
        )


def _has_unknown(message: Message) -> bool:
    """Whether a message has unknown fields at any depth, told by what it weighs without."""
    known = type(message)()
    known.CopyFrom(message)
    known.DiscardUnknownFields()
    return known.ByteSize() != message.ByteSize()


def _unsupported_paths(message: Message, prefix: str, has_unknown: bool) -> Iterator[str]:
    for field, value in message.ListFields():
        treatment = _treatment(field)
        if treatment is _Treatment.READ:
            continue
        path = f"{prefix}{field.name}"
        if treatment is _Treatment.REFUSED:
            yield path
        elif treatment is _Treatment.LIST:
            for index, item in enumerate(value):
                yield from _unsupported_paths(item, f"{path}[{index}].", has_unknown)
        else:
            yield from _unsupported_paths(value, f"{path}.", has_unknown)
    if has_unknown:
        for number in _unknown_numbers(message):
            yield f"{prefix}{number}"


def _unknown_numbers(message: Message) -> Iterator[int]:
    unknown = type(message)()
    unknown.CopyFrom(message)
    for field, _ in message.ListFields():
        unknown.ClearField(field.name)
    if unknown.ByteSize() > MAX_LISTED_BYTES:
        yield _first_number(unknown.SerializePartialToString())
        return
    listed = unknown_fields.UnknownFieldSet(unknown)
    for index in range(len(listed)):
        yield listed[index].field_number


def _first_number(data: bytes) -> int:
    """The number of the field that a serialized message begins with: https://protobuf.dev/programming-guides/encoding."""
    tag = 0
    for place, byte in enumerate(data):
        tag |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            break
    return tag >> 3


class _Treatment(Enum):
    """What is done with a field that is set."""

    READ = auto()
    REFUSED = auto()
    MESSAGE = auto()
    """Looked into."""
    LIST = auto()
    """Of messages, each looked into."""


@cache
def _treatment(field: FieldDescriptor) -> _Treatment:
    if field.full_name not in SUPPORTED_FIELDS:
        return _Treatment.REFUSED
    kind = field.message_type
    # A map's entries have no fields of their own to look at.
    if kind is None or not kind.full_name.startswith("palaver.") or kind.GetOptions().map_entry:
        return _Treatment.READ
    return _Treatment.LIST if field.is_repeated else _Treatment.MESSAGE
