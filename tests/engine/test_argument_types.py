"""Arguments between marks are text; what a strict tool's grammar has forced is read back with its schema's types."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from palaver_server.core.tools import NamedTool, Tool, ToolCallState, ToolChoiceMode
from palaver_server.engine.json_schema import misfit
from palaver_server.engine.vllm.grammar.listed_calls import list_schema
from tests.engine.conftest import say
from tests.engine.families import LEADS, NATIVE, Family, Layout, around_json, new_family

if TYPE_CHECKING:  # vLLM takes seconds to import
    from palaver_server.engine.vllm.grammar.gate import Gate

pytestmark = pytest.mark.asyncio(loop_scope="session")

BETWEEN_MARKS = ("qwen3_coder", "minimax_m2", "glm45", "glm47")
LISTED = around_json('[{"name": "NAME", "parameters": ARGUMENTS}]')


class Row(NamedTuple):
    """An argument's schema, its value, and the definitions that it refers to."""

    schema: dict[str, Any]
    value: Any
    definitions: dict[str, Any] = {}  # noqa: RUF012  # never changed


ADDRESS = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
ROWS = {
    "text": Row({"type": "string"}, "Paris"),
    "text that looks like a number": Row({"type": "string"}, "42"),
    "text that looks like nothing": Row({"type": "string"}, "null"),
    "text of several lines": Row({"type": "string"}, "one\n\ntwo"),
    "text with marks' signs": Row({"type": "string"}, 'a < b > "c" </d>'),
    "a whole number": Row({"type": "integer"}, 3),
    "a fraction": Row({"type": "number"}, 0.5),
    "a truth": Row({"type": "boolean"}, True),
    "nothing": Row({"type": ["string", "null"]}, None),
    "a number or nothing": Row({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 3),
    "one of several numbers": Row({"enum": [1, 2]}, 2),
    "one number": Row({"const": 5}, 5),
    "one truth": Row({"const": True}, True),
    "a list": Row({"type": "array", "items": {"type": "string"}}, ["a", "1"]),
    "an object": Row(ADDRESS, {"number": 3}),
    "a number by reference": Row({"$ref": "#/$defs/days"}, 3, {"days": {"type": "integer"}}),
    "an object by reference": Row({"$ref": "#/$defs/address"}, {"number": 3}, {"address": ADDRESS}),
    "an object by reference, or nothing": Row(
        {"anyOf": [{"$ref": "#/$defs/address"}, {"type": "null"}]}, {"number": 3}, {"address": ADDRESS}
    ),
    "a reference to a reference": Row(
        {"$ref": "#/$defs/length"}, 3, {"length": {"$ref": "#/$defs/days"}, "days": {"type": "integer"}}
    ),
    "a tree": Row(
        {"$ref": "#/$defs/node"},
        {"next": {"next": None}},
        {
            "node": {
                "type": "object",
                "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
                "required": ["next"],
            }
        },
    ),
}
EACH = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


def tool_of(row: Row) -> Tool:
    schema = {"type": "object", "properties": {"it": row.schema}, "required": ["it"], "additionalProperties": False}
    return Tool("f", "Does it.", json.dumps(schema | ({"$defs": row.definitions} if row.definitions else {})), True)


def check(found: Family, name: str, layout: Layout, row: Row) -> None:
    call = LEADS.get(name, "") + layout("f", {"it": json.dumps(row.value)})
    assert found.allows(call)
    for cuts in ((), range(1000)):
        (told,) = found.read(call, cuts).tool_calls
        assert (json.loads(told.arguments_json), told.state, told.problem) == (
            {"it": row.value},
            ToolCallState.COMPLETE,
            "",
        )


@EACH
@pytest.mark.parametrize("name", BETWEEN_MARKS)
async def test_an_argument_between_marks_has_its_type(marked: Any, marked_gate: Gate, name: str, row: Row) -> None:
    found = await new_family(marked, marked_gate, name, tool_of(row), choice=NamedTool("f"))
    check(found, name, NATIVE[name], row)


@EACH
async def test_an_argument_has_its_type_beside_thoughts_too(marked: Any, marked_gate: Gate, row: Row) -> None:
    name = "glm45"
    found = await new_family(marked, marked_gate, name, tool_of(row), choice=NamedTool("f"), reasoning=name)
    check(found, name, NATIVE[name], row)


@EACH
async def test_an_argument_in_a_list_of_calls_has_its_type(marked: Any, marked_gate: Gate, row: Row) -> None:
    found = await new_family(marked, marked_gate, "pythonic", tool_of(row), choice=ToolChoiceMode.REQUIRED)
    check(found, "pythonic", LISTED, row)


async def test_two_tools_may_mean_different_things_by_one_name(marked: Any, marked_gate: Gate) -> None:
    """Each tool's definitions are its own where all tools stand in one schema."""
    rows = (ROWS["a number by reference"], Row({"$ref": "#/$defs/days"}, "3", {"days": {"type": "string"}}))
    tools = tuple(replace(tool_of(row), name=f"f{place}") for place, row in enumerate(rows))
    schema = json.dumps(list_schema(replace(say("Hi"), tools=tools)))

    for place, row in enumerate(rows):
        for other, fits in ((row, True), (rows[1 - place], False)):
            call = [{"name": f"f{place}", "parameters": {"it": other.value}}]
            assert (misfit(call, schema) == "") is fits


async def test_references_that_multiply_are_followed_for_a_while_only() -> None:
    from palaver_server.engine.vllm.answer.argument_types import plain_schema  # noqa: PLC0415

    doubling = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    chain = {f"c{n}": {"type": "object", "properties": {"it": {"$ref": f"#/$defs/c{n + 1}"}}} for n in range(500)}
    for definitions in (doubling | {"d40": {"type": "integer"}}, chain | {"c500": {"type": "integer"}}):
        schema = json.dumps(
            {"type": "object", "properties": {"it": {"$ref": f"#/$defs/{next(iter(definitions))}"}}}
            | {"$defs": definitions}
        )
        assert len(json.dumps(plain_schema(schema))) < 30 * len(schema)
