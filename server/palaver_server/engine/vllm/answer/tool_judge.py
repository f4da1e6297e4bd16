"""Whether the calls that a model has written can be run as they stand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import regex
from jsonschema import Draft202012Validator, SchemaError, ValidationError, validators
from jsonschema.protocols import Validator

from palaver_server.core.errors import invalid_field
from palaver_server.core.tools import Tool, ToolCallState

MAX_DEPTH = 64
"""Levels of a schema; deeper ones exhaust the stack of who walks them."""
PATTERN_SECONDS = 0.02
"""For a ``pattern`` to match an argument: a caller's expression must not hold everybody up."""
MAX_PROBLEM_CHARACTERS = 300
CACHED_SCHEMAS = 256

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
        if problem := _schema_problem(tool.parameters_json_schema):
            raise invalid_field(f"{field_prefix}tools[{place}].parameters_json_schema", problem)


def parameters(tool: Tool) -> dict[str, Any]:
    """The schema of a tool's arguments as an object."""
    if not tool.parameters_json_schema:
        return {"type": "object", "properties": {}}
    schema: dict[str, Any] = json.loads(tool.parameters_json_schema)
    return schema


@lru_cache(CACHED_SCHEMAS)
def _schema_problem(text: str) -> str:
    if not text:
        return ""
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError):
        return "must be a JSON Schema as JSON text"
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        return 'must be the schema of an object, of "type": "object"'
    if _depth(schema) > MAX_DEPTH:
        return f"must be nested at most {MAX_DEPTH} levels"
    if "patternProperties" in _keys(schema):
        return "must not use patternProperties, which is not checked here"
    return _meaning_problem(schema)


def _meaning_problem(schema: dict[str, Any]) -> str:
    try:
        Draft202012Validator.check_schema(schema)
        next(_Validator(schema).iter_errors({}), None)
    except SchemaError as error:
        return f"is no JSON Schema: {error.message} at {error.json_path}"[:MAX_PROBLEM_CHARACTERS]
    except RecursionError:
        return "refers to itself without end"
    except Exception:  # noqa: BLE001  # the library has several kinds of errors for references that lead nowhere
        return "refers to what is not in it"
    return ""


@lru_cache(CACHED_SCHEMAS)
def _validator(text: str) -> Validator:
    return _Validator(json.loads(text))


def _misfit(arguments: dict[str, Any], tool: Tool) -> str:
    if not tool.parameters_json_schema:
        return "The tool takes no arguments." if arguments else ""
    try:
        error = next(_validator(tool.parameters_json_schema).iter_errors(arguments), None)
    except RecursionError:
        return "The arguments are nested too deep."
    if error is None:
        return ""
    return f"{error.json_path}: {error.message}"[:MAX_PROBLEM_CHARACTERS]


def _pattern(_validator: object, pattern: str, instance: object, _schema: object) -> Iterator[ValidationError]:
    if not isinstance(instance, str):
        return
    try:
        if regex.search(pattern, instance, timeout=PATTERN_SECONDS) is None:
            yield ValidationError(f"{instance!r} does not match {pattern!r}")
    except TimeoutError:
        yield ValidationError(f"{pattern!r} takes too long to match")
    except regex.error:
        yield ValidationError(f"{pattern!r} cannot be matched")


_Validator = validators.extend(Draft202012Validator, {"pattern": _pattern})


def _depth(value: object) -> int:
    """Levels of nesting, without recursion."""
    deepest, pending = 0, [(value, 1)]
    while pending:
        item, depth = pending.pop()
        deepest = max(deepest, depth)
        if isinstance(item, dict):
            pending.extend((child, depth + 1) for child in item.values())
        elif isinstance(item, list):
            pending.extend((child, depth + 1) for child in item)
    return deepest


def _keys(value: object) -> set[str]:
    found: set[str] = set()
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            found |= item.keys()
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
    return found
