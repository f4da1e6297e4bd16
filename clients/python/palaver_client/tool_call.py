"""A tool that a model asks to have called."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Any

from palaver.v1 import content_part_pb2, message_pb2, role_pb2, tool_call_pb2


@unique
class ToolCallState(StrEnum):
    """Whether a call can be run as it stands. Equal to its name as text: ``call.state == "complete"``."""

    COMPLETE = "complete"
    """The tool was offered, and the arguments are a JSON object that fits its schema."""
    CUT_OFF = "cut_off"
    """The answer ended before the call did; the arguments are what was written so far."""
    MALFORMED = "malformed"
    """The arguments are no JSON object."""
    UNKNOWN_TOOL = "unknown_tool"
    """The tool was not offered."""
    INVALID_ARGUMENTS = "invalid_arguments"
    """The arguments are a JSON object that does not fit the tool's schema."""
    UNKNOWN = "unknown"
    """A state that this client is too old to know."""

    @classmethod
    def of(cls, number: int) -> ToolCallState | None:
        """The state of the contract's number; None where none is said."""
        return _STATES.get(number, cls.UNKNOWN) if number else None


_STATES: dict[int, ToolCallState] = {
    tool_call_pb2.TOOL_CALL_STATE_COMPLETE: ToolCallState.COMPLETE,
    tool_call_pb2.TOOL_CALL_STATE_CUT_OFF: ToolCallState.CUT_OFF,
    tool_call_pb2.TOOL_CALL_STATE_MALFORMED: ToolCallState.MALFORMED,
    tool_call_pb2.TOOL_CALL_STATE_UNKNOWN_TOOL: ToolCallState.UNKNOWN_TOOL,
    tool_call_pb2.TOOL_CALL_STATE_INVALID_ARGUMENTS: ToolCallState.INVALID_ARGUMENTS,
}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of an answer."""

    id: str
    """The call's own name, made by the server."""
    name: str
    """The tool's name as the model wrote it."""
    arguments_json: str
    """The text of the arguments, as the model wrote it."""
    state: ToolCallState | None
    """Whether the call can be run as it stands; None from a server that does not tell."""
    problem: str = ""
    """What is wrong with the call, for people; empty where nothing is."""

    @classmethod
    def of(cls, call: tool_call_pb2.ToolCall) -> ToolCall:
        """The contract's call, typed."""
        return cls(call.id, call.name, call.arguments_json, ToolCallState.of(call.state), call.problem)

    @property
    def is_complete(self) -> bool:
        """Whether the call can be run as it stands."""
        return self.state is ToolCallState.COMPLETE

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments, by name.

        Raises:
            ValueError: they are no JSON object; ``state`` and ``problem`` say what became of them.
        """
        problem = self.problem or "they are no JSON object"
        try:
            found = json.loads(self.arguments_json or "{}")
        except (ValueError, RecursionError) as error:
            raise ValueError(f"arguments: {problem}") from error
        if not isinstance(found, dict):
            raise ValueError(f"arguments: {problem}")  # noqa: TRY004  # a value of the model's, not of the caller's type
        return found

    def result(self, text: str) -> message_pb2.Message:
        """What the tool has answered, as the message to send next."""
        return message_pb2.Message(
            role=role_pb2.ROLE_TOOL, tool_call_id=self.id, content=[content_part_pb2.ContentPart(text=text)]
        )
