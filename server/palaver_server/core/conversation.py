"""What was said so far."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique

from palaver_server.core.tools import ToolCall


@unique
class Role(StrEnum):
    """Who speaks. The values are the words that chat templates use."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of a message's content that is text."""

    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: tuple[TextPart, ...]
    tool_calls: tuple[ToolCall, ...] = ()
    """The tools that the model called in this turn; of the assistant only."""
    tool_call_id: str = ""
    """The call that this message answers; of a tool only."""
    reasoning: str = ""
    """What the model thought before it spoke; of the assistant only."""
    name: str = ""
    """The name of the one who speaks, where several share a role; empty for none."""

    @property
    def text(self) -> str:
        """The text of all parts, in order."""
        return "".join(part.text for part in self.content)
