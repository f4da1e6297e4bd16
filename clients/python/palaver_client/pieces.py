"""What comes of a stream, sorted: words, thoughts, calls of tools."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from palaver.v1 import chat_service_pb2
from palaver_client.tool_call import ToolCallState


@dataclass(frozen=True, slots=True)
class TextPiece:
    """The next words."""

    text: str
    choice_index: int = 0
    """Which of the answers says it, where several were asked for."""


@dataclass(frozen=True, slots=True)
class ThoughtPiece:
    """The next words of what the model thinks before it speaks."""

    text: str
    choice_index: int = 0
    """Which of the answers thinks it."""


@dataclass(frozen=True, slots=True)
class ToolCallPiece:
    """The next piece of a call; those with one ``index`` of one choice make one call."""

    index: int
    """The place of the call among those of its choice, from 0."""
    id: str
    """The call's own, in its first piece; empty in the others."""
    name: str
    """The tool's, in the first piece of a call; empty in the others."""
    arguments_json: str
    """What comes next of the arguments."""
    state: ToolCallState | None
    """Whether the call can be run, in its last piece; None in the others."""
    problem: str
    """What is wrong with the call, for people, in its last piece; empty where nothing is."""
    choice_index: int = 0
    """Which of the answers calls."""


Piece = TextPiece | ThoughtPiece | ToolCallPiece


def pieces_of(event: chat_service_pb2.StreamChatResponse) -> Iterator[Piece]:
    """Sort what an event of the contract brings; nothing comes of one that is no delta."""
    delta = event.delta
    if delta.reasoning:
        yield ThoughtPiece(delta.reasoning, delta.choice_index)
    if delta.text:
        yield TextPiece(delta.text, delta.choice_index)
    for call in delta.tool_calls:
        yield ToolCallPiece(
            call.index,
            call.id,
            call.name,
            call.arguments_json,
            ToolCallState.of(call.state),
            call.problem,
            delta.choice_index,
        )
