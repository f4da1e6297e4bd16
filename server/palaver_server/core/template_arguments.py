"""What a request may say to the model's chat template directly: anything but what has a field of its own."""

from __future__ import annotations

from collections.abc import Mapping

from palaver_server.core import strict_json
from palaver_server.core.errors import PalaverError, invalid_field

FIELD = "chat_template_arguments_json"
_DECIDED_ELSEWHERE = {
    "messages": "messages",
    "conversation": "messages",
    "tools": "tools",
    "enable_thinking": "reasoning.enabled",
    "thinking": "reasoning.enabled",
    "reasoning_effort": "reasoning.effort",
    "continue_final_message": "continue_final_message",
    "add_generation_prompt": "continue_final_message",
}
"""By argument: the field of the request that decides it."""
_NOT_THE_CALLERS = frozenset(
    {"chat_template", "tokenize", "return_dict", "return_tensors", "return_assistant_tokens_mask"}
)
"""They change what rendering gives back, or the template itself, which is a program."""


def parse_template_arguments(text: str, field_prefix: str = "") -> dict[str, object]:
    """Read the arguments from JSON text.

    Raises:
        PalaverError: the text is no JSON object, or holds what is not for it to decide.
    """
    if not text:
        return {}
    field = f"{field_prefix}{FIELD}"
    try:
        arguments = strict_json.parse(text.encode(), subject="it")
    except PalaverError as error:
        raise invalid_field(field, f"must be the text of a JSON object; {error.message}") from None
    if not isinstance(arguments, dict):
        raise invalid_field(field, "must be the text of a JSON object")
    refuse_reserved(arguments, field)
    return arguments


def refuse_reserved(arguments: Mapping[str, object], field: str) -> None:
    """See that the arguments leave alone what is decided elsewhere.

    Raises:
        PalaverError: they do not.
    """
    for name in arguments:
        if (decider := _DECIDED_ELSEWHERE.get(name)) is not None:
            raise invalid_field(field, f"must not hold {name!r}: the field {decider} decides it")
        if name in _NOT_THE_CALLERS:
            raise invalid_field(field, f"must not hold {name!r}: it is the server's own")
