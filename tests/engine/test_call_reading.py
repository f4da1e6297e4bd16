"""Text in the layout of each family that vLLM reads: a call is told whole however that is cut, or said not to be."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaver_server.core.answer import WholeChoice
from palaver_server.core.tools import Tool, ToolCallState, ToolChoiceMode
from tests.engine.families import ALL, Family, new_family

if TYPE_CHECKING:  # vLLM takes seconds to import
    from palaver_server.engine.vllm.grammar.gate import Gate

pytestmark = pytest.mark.asyncio(loop_scope="session")

WEATHER = Tool(
    "get_weather",
    "Tells the weather.",
    json.dumps(
        {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        }
    ),
)
ARGUMENTS = {"city": '"Paris"', "days": "3"}
TOLD = ("get_weather", {"city": "Paris", "days": 3}, ToolCallState.COMPLETE)
EVERY_TOKEN = range(1000)
FAMILIES = pytest.mark.parametrize("name", ALL)
ONLY_CALLS = frozenset({"llama3_json", "xlam", "phi4_mini_json", "pythonic", "olmo3"})
"""Formats in which an answer is either calls or speech."""

WITHHELD = frozenset({"phi4_mini_json", "jamba", "xlam"})
"""Formats that are read at the end alone: what is no whole call then is speech."""


class Thinker(NamedTuple):
    """A family with a parser of thoughts."""

    tools: str
    reasoning: str
    think: str = "think"


THINKERS = (
    Thinker("qwen3_coder", "qwen3"),
    Thinker("hermes", "qwen3"),
    Thinker("minimax_m2", "minimax_m2"),
    Thinker("minimax_m3", "minimax_m3", "mm:think"),
    Thinker("glm47", "glm47"),
    Thinker("glm45", "glm45"),
    Thinker("qwen3_coder", "deepseek_r1"),
    Thinker("deepseek_v31", "deepseek_r1"),
)


async def family(marked: Any, gate: Gate, name: str, reasoning: str | None = None) -> Family:
    return await new_family(marked, gate, name, WEATHER, reasoning=reasoning)


def calls_of(told: WholeChoice) -> list[Any]:
    return [(one.name, json.loads(one.arguments_json), one.state) for one in told.tool_calls]


def in_any_cutting(found: Family, text: str, expected: tuple[str, str, list[Any]], prompt: str = "Hi") -> None:
    """See that a text is read as expected by as many cuttings as Hypothesis tries, and by the plainest two."""

    def check(cuts: Iterable[int]) -> None:
        told = found.read(text, cuts, prompt=prompt)
        assert (told.reasoning.strip(), told.text.strip(), calls_of(told)) == expected

    @settings(max_examples=20)
    @given(st.lists(st.integers(0, 500), max_size=12))
    def check_any(cuts: list[int]) -> None:
        check(cuts)

    check(())
    check(EVERY_TOKEN)
    check_any()


@FAMILIES
async def test_a_call_is_read_in_any_cutting(marked: Any, marked_gate: Gate, name: str) -> None:
    call = ALL[name]("get_weather", ARGUMENTS)
    said = "" if name in ONLY_CALLS else "Well, {a} > b < c."

    in_any_cutting(await family(marked, marked_gate, name), f"{said}\n{call}" if said else call, ("", said, [TOLD]))


@FAMILIES
async def test_speech_is_read_in_any_cutting(marked: Any, marked_gate: Gate, name: str) -> None:
    said = "No call: [1], {x}, <b> and > 3."

    in_any_cutting(await family(marked, marked_gate, name), said, ("", said, []))


@pytest.mark.parametrize("thinker", THINKERS, ids=lambda one: f"{one.tools}-{one.reasoning}")
async def test_thoughts_speech_and_a_call_are_told_apart_in_any_cutting(
    marked: Any, marked_gate: Gate, thinker: Thinker
) -> None:
    found = await family(marked, marked_gate, thinker.tools, thinker.reasoning)
    call, think = ALL[thinker.tools]("get_weather", ARGUMENTS), thinker.think

    in_any_cutting(found, f"<{think}>Hm, a < b.</{think}>\n\nWell.\n{call}", ("Hm, a < b.", "Well.", [TOLD]))
    closed = f"<{think}>\n\n</{think}>\n\n"
    in_any_cutting(found, f"Well.\n{call}", ("", "Well.", [TOLD]), prompt=closed)


@FAMILIES
async def test_a_call_of_a_tool_that_nobody_offered_is_told(marked: Any, marked_gate: Gate, name: str) -> None:
    found = await family(marked, marked_gate, name)

    for cuts in ((), EVERY_TOKEN):
        told = found.read(ALL[name]("get_time", ARGUMENTS), cuts)
        assert [(one.name, one.state) for one in told.tool_calls] == [("get_time", ToolCallState.UNKNOWN_TOOL)]


@pytest.mark.parametrize(
    ("name", "reasoning"), [*((name, None) for name in ALL), ("glm45", "glm45"), ("qwen3_coder", "qwen3")]
)
async def test_a_call_where_none_is_allowed_is_told_or_stays_in_the_text(
    marked: Any, marked_gate: Gate, name: str, reasoning: str | None
) -> None:
    found = await new_family(marked, marked_gate, name, WEATHER, choice=ToolChoiceMode.NONE, reasoning=reasoning)
    call = ALL[name]("get_weather", ARGUMENTS)

    for cuts in ((), EVERY_TOKEN):
        told = found.read(call, cuts)
        if told.tool_calls:
            assert [(one.name, one.state) for one in told.tool_calls] == [("get_weather", ToolCallState.UNKNOWN_TOOL)]
        else:
            assert told.text == call


@FAMILIES
async def test_no_call_that_is_cut_off_looks_whole(marked: Any, marked_gate: Gate, name: str) -> None:
    """A call may be said to be whole a little before its last mark, with all its arguments; never with fewer."""
    found, call = await family(marked, marked_gate, name), ALL[name]("get_weather", ARGUMENTS)
    cut_off = 0

    for end in range(1, len(call)):
        for cuts in ((), EVERY_TOKEN):
            told = found.read(call[:end], cuts, finish="length")
            cut_off += sum(one.state is ToolCallState.CUT_OFF for one in told.tool_calls)
            assert [one for one in calls_of_whole(told) if one != TOLD] == [], call[:end]
    if name not in WITHHELD:
        assert cut_off


def calls_of_whole(told: WholeChoice) -> list[Any]:
    return [
        (one.name, json.loads(one.arguments_json), one.state)
        for one in told.tool_calls
        if one.state is not ToolCallState.CUT_OFF
    ]
