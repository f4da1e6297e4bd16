"""How much a body may hold: counted before its types are checked, which costs by the element."""

from __future__ import annotations

from typing import Any

from palaver_server.core.errors import invalid_field
from palaver_server.rpc.bounds import MAX_ELEMENTS, too_many_elements


def refuse_too_much(document: Any) -> None:
    """Count what the contract's request will hold as elements; a body of other types has none and is refused later.

    Raises:
        PalaverError: ``INVALID_FIELD``: there are more than a request may hold.
    """
    if not isinstance(document, dict):
        return
    messages = document.get("messages")
    count = _length(messages) + _length(document.get("tools"))
    if count <= MAX_ELEMENTS and isinstance(messages, list):
        count += sum(
            _length(message.get("content")) + _length(message.get("tool_calls"))
            for message in messages
            if isinstance(message, dict)
        )
    if count > MAX_ELEMENTS:
        raise invalid_field("messages", too_many_elements())


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0
