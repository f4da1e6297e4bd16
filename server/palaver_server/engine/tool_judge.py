"""Whether the calls that a model has written can be run as they stand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Self

from palaver_server.core.errors import invalid_field
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.tools import Tool, ToolCallState, ToolChoiceMode
from palaver_server.engine.json_schema import MAX_PROBLEM_CHARACTERS, misfit, schema_problem

Verdict = tuple[ToolCallState, str]


class ToolJudge:
    """Judges the calls of one answer.

    Args:
        tools: those that were offered.
        allows_calls: whether the request lets the model call any.
    """

    def __init__(self, tools: Iterable[Tool], *, allows_calls: bool = True) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._allows_calls = allows_calls

    @classmethod
    def of(cls, request: GenerationRequest) -> Self:
        """The judge of a request's answers. Where no tool was offered, each call is of a tool that nobody offered."""
        return cls(request.tools, allows_calls=not request.tools or request.tool_choice is not ToolChoiceMode.NONE)

    def judge(self, name: str, arguments_json: str, *, is_cut_off: bool) -> Verdict:
        """Tell whether a call can be run as it stands, and what is wrong with it."""
        if is_cut_off:
            return ToolCallState.CUT_OFF, "The answer ended before the call did."
        if not self._allows_calls:
            return ToolCallState.UNKNOWN_TOOL, "The request allows no calls."
        tool = self._tools.get(name)
        if tool is None:
            return ToolCallState.UNKNOWN_TOOL, f"No tool {name!r} was offered."[:MAX_PROBLEM_CHARACTERS]
        try:
            arguments = json.loads(arguments_json or "{}")
        except (ValueError, RecursionError):
            return ToolCallState.MALFORMED, "The arguments are no JSON."
        if not isinstance(arguments, dict):
            return ToolCallState.MALFORMED, "The arguments are JSON, but no object."
        if problem := _misfit(arguments, tool):
            return ToolCallState.INVALID_ARGUMENTS, problem
        return ToolCallState.COMPLETE, ""


def check_tools(tools: Sequence[Tool], field_prefix: str) -> None:
    """See that the schemas of tools can be judged by. Takes long for large ones: it belongs into a thread.

    Raises:
        PalaverError: a schema is no JSON Schema of an object.
    """
    for place, tool in enumerate(tools):
        if problem := schema_problem(tool.parameters_json_schema):
            raise invalid_field(f"{field_prefix}tools[{place}].parameters_json_schema", problem)


def parameters(tool: Tool) -> dict[str, Any]:
    """The schema of a tool's arguments as an object."""
    if not tool.parameters_json_schema:
        return {"type": "object", "properties": {}}
    schema: dict[str, Any] = json.loads(tool.parameters_json_schema)
    return schema


def _misfit(arguments: dict[str, Any], tool: Tool) -> str:
    if not tool.parameters_json_schema:
        return "The tool takes no arguments." if arguments else ""
    return misfit(arguments, tool.parameters_json_schema)
