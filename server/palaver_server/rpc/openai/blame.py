"""Errors in the caller's words: the contract's fields by the names that OpenAI's protocol has for them.

Rules are checked on the contract's request, so what broke one is told as ``options.max_output_tokens``; who wrote
``max_tokens`` reads that. Runs for refused requests alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from palaver_server.core.errors import FieldViolation, PalaverError, Reason
from palaver_server.core.strict_json import field_path
from palaver_server.rpc.openai import refused
from palaver_server.rpc.openai.body import LIST_TAG, OBJECT_TAG, TEXT_TAG, Body
from palaver_server.rpc.openai.options import OPTIONS

MAX_REPORTED = 16
"""Violations told of one request; more help nobody."""

_TAGS = {LIST_TAG, TEXT_TAG, OBJECT_TAG, "[key]"}
_REFUSALS = (
    refused.PARAMETERS
    | refused.MESSAGE_FIELDS
    | refused.CONTENT_FIELDS
    | refused.STREAM_OPTIONS
    | refused.STRUCTURED_OUTPUTS
    | refused.TOOL_FIELDS
    | refused.TOOL_CHOICE_FIELDS
    | refused.TOOL_CALL_FIELDS
)
_TYPE_WORDS = {
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "float_type": "must be a number",
    "greater_than_equal": "is too small an integer",
    "int_type": "must be an integer",
    "less_than_equal": "is too large an integer",
    "list_type": "must be a list",
    "missing": "is required",
    "model_type": "must be an object",
    "string_type": "must be a string",
}
"""By pydantic's name of a fault; literals and unions bring words of their own."""

_PATHS = [
    (re.compile(pattern), name)
    for pattern, name in (
        (r"messages\[(\d+)\]\.content\b.*", r"messages[\1].content"),
        (r"messages\[(\d+)\]\.tool_calls\[(\d+)\]\.name", r"messages[\1].tool_calls[\2].function.name"),
        (r"messages\[(\d+)\]\.tool_calls\[(\d+)\]\.arguments_json", r"messages[\1].tool_calls[\2].function.arguments"),
        (r"tools\[(\d+)\]\.parameters_json_schema", r"tools[\1].function.parameters"),
        (r"tools\[(\d+)\]\.(\w+)", r"tools[\1].function.\2"),
        (r"tool_choice\.tool_name", r"tool_choice.function.name"),
        (r"tool_choice\..*", r"tool_choice"),
        (r"options\.repetition_detection\.max_pattern_tokens", r"repetition_detection.max_pattern_size"),
        (r"options\.repetition_detection\.min_pattern_tokens", r"repetition_detection.min_pattern_size"),
        (r"options\.repetition_detection\.min_repeat_count", r"repetition_detection.min_count"),
        (r"options\.(\w+)(.*)", r"\1\2"),
        (r"reasoning\.include_reasoning", r"include_reasoning"),
        (r"reasoning\.enabled", r"chat_template_kwargs.enable_thinking"),
        (r"reasoning\.budget_tokens", r"thinking_token_budget"),
        (r"reasoning\b.*", r"reasoning_effort"),
        (r"context_policy\b.*", r"truncate_prompt_tokens"),
        (r"chat_template_arguments_json", r"chat_template_kwargs"),
        (r"response_options\.include_token_ids", r"return_token_ids"),
        (r"response_options\.include_prompt_text", r"return_prompt_text"),
        (r"min_tokens_per_delta", r"stream_interval"),
        (r"labels\b(.*)", r"metadata\1"),
    )
]
"""From the contract's path, without ``chat.``, to OpenAI's; the first that fits as a whole."""


@contextmanager
def in_callers_words(body: Body) -> Iterator[None]:
    """Say a ``PalaverError`` that comes out of the block in the words of the request."""
    try:
        yield
    except PalaverError as error:
        translate(error, body)
        raise


def translate(error: PalaverError, body: Body) -> None:
    """Give an error's fields the names that the caller has for them."""
    if not error.violations:
        return
    beginning = f"{error.violations[0].field}: "
    error.violations = tuple(
        FieldViolation(_param(violation.field, body), _in_words(violation.description, body))
        for violation in error.violations
    )
    if error.message.startswith(beginning):
        sentence = _in_words(error.message[len(beginning) :], body)
        error.message = f"{error.violations[0].field}: {sentence}"
        error.args = (error.message,)


def type_error(error: ValidationError) -> PalaverError:
    """What a body broke of the JSON's own types, or the fields in it that nobody takes."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_REPORTED]
    unknown = [fault for fault in faults if fault["type"] == "extra_forbidden"]
    violations = [FieldViolation(_place(fault), _fault_in_words(fault)) for fault in unknown or faults]
    first = violations[0]
    message = f"{first.field}: {first.description}" if first.field else f"The body {first.description}."
    return PalaverError(
        Reason.FIELD_NOT_SUPPORTED if unknown else Reason.INVALID_FIELD,
        message,
        violations=[violation for violation in violations if violation.field],
    )


def _place(fault: ErrorDetails) -> str:
    parts = fault["loc"]
    if fault["type"] == "extra_forbidden":  # the last part is the caller's own, whatever it looks like
        return field_path((*(part for part in parts[:-1] if part not in _TAGS), parts[-1]))
    return field_path(tuple(part for part in parts if part not in _TAGS))


def _fault_in_words(fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        refusal = _REFUSALS.get(str(fault["loc"][-1]))
        return refusal.reason if refusal else "is not known here; leave it out"
    words = _TYPE_WORDS.get(fault["type"], fault["msg"])
    return words.replace("Input should be", "must be")


def _param(path: str, body: Body) -> str:
    path = path.removeprefix("chat.")
    for pattern, name in _PATHS:
        if match := pattern.fullmatch(path):
            path = match.expand(name)
            break
    field, bracket, rest = path.partition("[")
    if field.partition(".")[0] == "response_format":
        return _form_field(path, body)
    if field == "stop_sequences" and not isinstance(body.stop, list):
        return "stop"
    return _own_names(body).get(field, field) + bracket + rest


def _form_field(path: str, body: Body) -> str:
    if body.structured_outputs is not None:
        return f"structured_outputs.{next(iter(body.structured_outputs.model_fields_set)).rstrip('_')}"
    return path.replace("response_format.json_schema.json_schema", "response_format.json_schema.schema")


def _in_words(text: str, body: Body) -> str:
    names = _own_names(body)
    return re.sub(r"\b[a-z]+(?:_[a-z]+)+\b", lambda word: names.get(word[0], word[0]), text)


def _own_names(body: Body) -> dict[str, str]:
    """By the contract's name of a field: what this caller calls it."""
    names = {field: name for name, field in OPTIONS.items()}
    names["max_output_tokens"] = "max_tokens" if body.max_tokens is not None else "max_completion_tokens"
    names["stop_sequences"] = "stop"
    names["user_id"] = "user" if body.safety_identifier is None else "safety_identifier"
    names["budget_tokens"] = "thinking_token_budget"
    names["effort"] = "reasoning_effort"
    return names
