"""Functions of the caller that a model may ask to have called, and how it asks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the caller offers."""

    name: str
    description: str = ""
    parameters_json_schema: str = ""
    """The JSON Schema of the arguments, an object schema, as JSON text; empty where there are no arguments."""
    is_strict: bool = False
    """Whether the model is held to the schema while it writes the arguments."""


@unique
class ToolChoiceMode(Enum):
    """A choice that names no tool."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class NamedTool:
    """The choice of the one tool that the model must call."""

    name: str


ToolChoice = ToolChoiceMode | NamedTool


@unique
class ToolCallState(Enum):
    """Whether a tool call can be run as it stands."""

    COMPLETE = "complete"
    """The tool was offered, and the arguments are a JSON object that fits its schema."""
    CUT_OFF = "cut off"
    """The answer ended before the call did; the arguments are what was written so far."""
    MALFORMED = "malformed"
    """The call ended, and its arguments are no JSON object."""
    UNKNOWN_TOOL = "unknown tool"
    """The tool was not offered."""
    INVALID_ARGUMENTS = "invalid arguments"
    """The arguments are a JSON object that does not fit the tool's schema."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for."""

    id: str
    name: str
    arguments_json: str
    """The text of a JSON object; of a call that is not complete, what the model wrote."""
    state: ToolCallState | None = None
    """None for a call that the caller sent."""
    problem: str = ""
    """What is wrong with the call, for people; empty where nothing is."""


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call. The pieces with one ``index`` of one choice make one call."""

    index: int
    """The place of the call among the calls of its choice, from 0."""
    id: str = ""
    """In the first piece of a call, empty in the others."""
    name: str = ""
    """In the first piece of a call, empty in the others."""
    arguments_json: str = ""
    """The next piece of the arguments."""
    state: ToolCallState | None = None
    """In the last piece of a call."""
    problem: str = ""
    """In the last piece of a call that is not complete."""
