"""The calls that a model asks for, in OpenAI's words.

OpenAI's protocol has no word for a call that cannot be run: a call that is whole and fits is told as there, and one
that is not keeps its text and gets two fields of ours, ``state`` and ``problem``, which clients of OpenAI pass over.
"""

from __future__ import annotations

from typing import Any

from palaver_server.core.tools import ToolCall, ToolCallDelta, ToolCallState


def tool_call_to_json(call: ToolCall) -> dict[str, Any]:
    """A whole call."""
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments_json},
        **_verdict(call),
    }


def tool_call_delta_to_json(piece: ToolCallDelta) -> dict[str, Any]:
    """A piece of a call. Its first piece has the id, the type and the name."""
    if piece.id or piece.name:
        return {
            "index": piece.index,
            "id": piece.id,
            "type": "function",
            "function": {"name": piece.name, "arguments": piece.arguments_json},
            **_verdict(piece),
        }
    return {"index": piece.index, "function": {"arguments": piece.arguments_json}, **_verdict(piece)}


def _verdict(piece: ToolCall | ToolCallDelta) -> dict[str, str]:
    if piece.state is None or piece.state is ToolCallState.COMPLETE:
        return {}
    return {"state": piece.state.name.lower(), "problem": piece.problem}
