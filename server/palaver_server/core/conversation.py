"""What was said so far."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique


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

    @property
    def text(self) -> str:
        """The text of all parts, in order."""
        return "".join(part.text for part in self.content)
