"""Calls of the families that vLLM reads: a demanded one is forced by a grammar, and what fits that is read back."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from palaver_server.core.tools import NamedTool, Tool, ToolCallState, ToolChoice, ToolChoiceMode
from tests.engine.families import LEADS, NATIVE, Family, Layout, around_json, new_family

if TYPE_CHECKING:  # vLLM takes seconds to import
    from palaver_server.engine.vllm.grammar.gate import Gate

pytestmark = pytest.mark.asyncio(loop_scope="session")

WEATHER = Tool(
    "get_weather",
    "Tells the weather.",
    json.dumps(
        {
            "type": "object",
            "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer", "minimum": 1}},
            "required": ["city", "days"],
            "additionalProperties": False,
        }
    ),
    is_strict=True,
)
SUM = Tool(
    "get_sum",
    "Adds.",
    json.dumps(
        {
            "type": "object",
            "properties": {"numbers": {"type": "array", "items": {"type": "integer"}}},
            "required": ["numbers"],
            "additionalProperties": False,
        }
    ),
    is_strict=True,
)
ARGUMENTS = {"city": '"Paris"', "days": "3"}
BAD_ARGUMENTS = {"city": '"Berlin"', "days": "3"}
LOOSE_ARGUMENTS = {"city": '"Paris"', "days": "0"}
"""Fit the types, to which GLM-4.7 is held by vLLM at all times."""
BARE = around_json("ARGUMENTS")
LISTED = around_json('[{"name": "NAME", "parameters": ARGUMENTS}]')
AS_JSON = ("phi4_mini_json", "pythonic", "internlm", "jamba", "xlam", "olmo3")
"""Families without a grammar of their calls: a demanded call is a list of calls in JSON, a named one its arguments."""
ONLY_NAMED = ("granite", "seed_oss")
"""As those, but vLLM's parsers cannot read such a list in a stream."""
CANNOT = ("mistral", "minimax_m3")
"""Of the first vLLM demands calls by a grammar of its own tokenizer, which palaver does not have; of the second by no
grammar at all: it offers the tools and hopes."""

New = Callable[..., Awaitable[Family]]


@pytest.fixture
def new(marked: Any, marked_gate: Gate) -> New:
    """Make a family for a choice among one tool."""

    async def made(name: str, choice: ToolChoice, tool: Tool = WEATHER) -> Family:
        return await new_family(marked, marked_gate, name, tool, choice=choice)

    return made


CHOICES = pytest.mark.parametrize(
    "choice", [ToolChoiceMode.REQUIRED, NamedTool("get_weather")], ids=["required", "named"]
)
NATIVES = pytest.mark.parametrize("name", NATIVE)


def check(found: Family, layout: Layout, lead: str = "") -> None:
    call = lead + layout("get_weather", ARGUMENTS)
    assert found.parsers.can_demand_one_tool
    assert found.allows(call)
    assert not found.allows("Hello!")
    assert not found.allows(lead + layout("get_weather", BAD_ARGUMENTS))
    assert not found.allows(lead + layout("get_weather", LOOSE_ARGUMENTS))
    for cut in (1, 3, 1000):
        told = found.read(call, range(0, 1000, cut))
        assert [(one.name, json.loads(one.arguments_json), one.state) for one in told.tool_calls] == [
            ("get_weather", {"city": "Paris", "days": 3}, ToolCallState.COMPLETE)
        ], cut
        assert told.text == ""


@CHOICES
@NATIVES
async def test_a_demanded_call_is_forced_in_the_familys_own_layout(new: New, name: str, choice: ToolChoice) -> None:
    check(await new(name, choice), NATIVE[name], LEADS.get(name, ""))


@NATIVES
async def test_a_strict_tools_arguments_are_held_while_the_model_may_speak(new: New, name: str) -> None:
    found, layout = await new(name, ToolChoiceMode.AUTO), NATIVE[name]

    assert found.allows("Hello!")
    assert found.allows(layout("get_weather", ARGUMENTS))
    assert not found.allows(layout("get_weather", BAD_ARGUMENTS))


@NATIVES
async def test_another_tools_arguments_are_free_while_its_name_is_held(new: New, name: str) -> None:
    found, layout = await new(name, ToolChoiceMode.REQUIRED, replace(WEATHER, is_strict=False)), NATIVE[name]
    lead = LEADS.get(name, "")

    assert found.allows(lead + layout("get_weather", LOOSE_ARGUMENTS))
    assert not found.allows(lead + layout("get_time", {}))


@NATIVES
async def test_no_model_fills_a_call_with_white_space(new: New, name: str) -> None:
    found, layout = await new(name, ToolChoiceMode.REQUIRED, SUM), NATIVE[name]

    def spaced(count: int) -> str:
        return LEADS.get(name, "") + layout("get_sum", {"numbers": f"[{' ' * count}1]"})

    assert found.allows(spaced(9))
    assert not found.allows(spaced(99))


@CHOICES
@pytest.mark.parametrize("name", AS_JSON)
async def test_a_demanded_call_is_forced_as_json_where_calls_have_no_grammar(
    new: New, name: str, choice: ToolChoice
) -> None:
    found = await new(name, choice)
    assert found.parsers.can_demand_calls
    check(found, BARE if isinstance(choice, NamedTool) else LISTED)


@pytest.mark.parametrize("name", ONLY_NAMED)
async def test_a_call_is_forced_of_the_named_tool_alone_where_lists_cannot_be_read(new: New, name: str) -> None:
    found = await new(name, NamedTool("get_weather"))
    assert not found.parsers.can_demand_calls
    check(found, BARE)


@pytest.mark.parametrize("name", CANNOT)
async def test_who_cannot_be_made_to_call_is_known(new: New, name: str) -> None:
    parsers = (await new(name, ToolChoiceMode.REQUIRED)).parsers
    assert (parsers.can_demand_calls, parsers.can_demand_one_tool, parsers.can_hold_calls) == (False, False, False)
