"""What was left out of a conversation to make it fit: a field of palaver's own, told only where something was."""

from __future__ import annotations

from typing import Any

from palaver_server.core.context import ContextTruncation


def truncation_to_json(truncation: ContextTruncation) -> dict[str, Any]:
    """The same as the contract's ``ContextTruncation``."""
    return {
        "dropped_message_count": len(truncation.dropped_messages),
        "dropped_token_count": truncation.dropped_token_count,
        "dropped_message_indices": list(truncation.dropped_messages),
    }
