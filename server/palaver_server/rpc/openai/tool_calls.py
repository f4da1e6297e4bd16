"""The calls that a model asks for, in OpenAI's words.

OpenAI's protocol has no word for a call that cannot be run: a call that is whole and fits is told as there, and one
that is not keeps its text and gets two fields of ours, ``state`` and ``problem``, which clients of OpenAI pass over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from palaver_server.core.tools import ToolCallDelta, ToolCallState


class ToolCalls:
    """Puts the pieces of one choice's calls together."""

    def __init__(self) -> None:
        self._calls: dict[int, dict[str, Any]] = {}

    def add(self, pieces: Iterable[ToolCallDelta]) -> None:
        """Take the next pieces."""
        for piece in pieces:
            call = self._calls.setdefault(
                piece.index, {"id": piece.id, "type": "function", "function": {"name": piece.name, "arguments": ""}}
            )
            call["function"]["arguments"] += piece.arguments_json
            call.update(_verdict(piece))

    def to_json(self) -> list[dict[str, Any]]:
        """The calls, in their order."""
        return [self._calls[index] for index in sorted(self._calls)]


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


def _verdict(piece: ToolCallDelta) -> dict[str, str]:
    if piece.state is None or piece.state is ToolCallState.COMPLETE:
        return {}
    return {"state": piece.state.name.lower(), "problem": piece.problem}
