"""Which fields of the contract this server acts on. A set field that is not among them is refused, never dropped."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf import unknown_fields
from google.protobuf.message import Message

from palaver_server.core.errors import FieldViolation, PalaverError, Reason

_SUPPORTED: dict[str, tuple[str, ...]] = {
    "StreamChatRequest": ("chat",),
    "CountTokensRequest": ("chat",),
    "ChatRequest": ("model", "messages", "options"),
    "Message": ("role", "content"),
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
    ),
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
        elif field.message_type is None or not field.message_type.full_name.startswith("palaver."):
            continue
        elif field.is_repeated:
            for index, item in enumerate(value):
                yield from _unsupported_paths(item, f"{path}[{index}].")
        else:
            yield from _unsupported_paths(value, f"{path}.")
    unknown = unknown_fields.UnknownFieldSet(message)
    for index in range(len(unknown)):
        yield f"{prefix}{unknown[index].field_number}"
