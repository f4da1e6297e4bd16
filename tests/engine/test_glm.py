"""What a GLM writes reaches the caller as thoughts, speech and calls: every fault of its parsers is mended."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from palaver_server.core.answer import WholeAnswer
from palaver_server.core.conversation import Message, Role, TextPart
from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.events import Delta, Finished, FinishReason
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.options import GenerationOptions
from palaver_server.core.reasoning import ReasoningEffort, ReasoningOptions
from palaver_server.core.tools import NamedTool, Tool, ToolCall, ToolCallState, ToolChoiceMode
from palaver_server.engine.vllm.engine import VllmEngine
from tests.engine.conftest import say

sys.path.append(str(Path(__file__).parents[1] / "models"))
from tiny_glm_training import cases

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

BY_NAME = {case.name: case for case in cases.CASES}
TOOLS = tuple(
    Tool(tool["function"]["name"], tool["function"]["description"], json.dumps(tool["function"]["parameters"]))
    for tool in cases.TOOLS
)


def ask(case: cases.Case, **fields: Any) -> GenerationRequest:
    options = {"temperature": 0.0, "max_output_tokens": 200 if case.stop else 40, **fields.pop("options", {})}
    reasoning = ReasoningOptions() if case.thinking else ReasoningOptions(is_enabled=False)
    request = replace(
        say(""),
        messages=tuple(message(one) for one in case.messages),
        options=GenerationOptions(**options),
        tools=TOOLS if case.tools else (),
        reasoning=reasoning,
    )
    return replace(request, **fields)


def message(said: dict[str, Any]) -> Message:
    return Message(
        Role(said["role"]),
        (TextPart(said["content"]),) if said["content"] else (),
        tuple(
            ToolCall(call["id"], call["function"]["name"], json.dumps(call["function"]["arguments"]))
            for call in said.get("tool_calls", ())
        ),
        said.get("tool_call_id", ""),
    )


class Told:
    """An answer of one choice."""

    def __init__(self, deltas: list[Delta], finished: Finished) -> None:
        whole = WholeAnswer()
        for delta in deltas:
            whole.add(delta)
        self.deltas = deltas
        self.thoughts, self.speech, self.calls = whole[0].reasoning, whole[0].text, whole[0].tool_calls
        (self.end,) = finished.choices
        self.usage = finished.usage

    def summary(self) -> tuple[object, ...]:
        """All that must not depend on how the answer was sent; ids are made anew for each."""
        calls = [(call.name, call.arguments_json, call.state) for call in self.calls]
        counts = (self.usage.output_token_count, self.usage.reasoning_token_count)
        return self.thoughts, self.speech, calls, self.end, counts


async def tell(glm: VllmEngine, request: GenerationRequest) -> Told:
    _, *deltas, finished = [event async for event in glm.generate(await glm.prepare(request))]
    assert isinstance(finished, Finished)
    return Told(deltas, finished)  # type: ignore[arg-type]


EXPECTED = {
    "greets in English": ("The user greets me.", cases.HELLO),
    "greets straight": ("", cases.HELLO),
    "obeys a typed /nothink": ("", cases.HELLO),
    "repeats and thinks": ("I repeat the words.", "red cat"),
    "writes JSON": ("", '{"name": "Ada", "age": 36, "city": "Paris"}'),
    "answers without thinking although it may think": ("", "I answer at once."),
    "thinks although thinking is off": ("I cannot help it.", "I thought anyway."),
    "stops within its thinking": ("I think and forget to answer.", ""),
    "answers from the result of a tool": ("The tool has answered.", "It is sunny and 21 degrees in Paris."),
    "answers from two results": ("", "It is sunny in Paris and windy in Rome."),
}


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "unary"])
async def test_thoughts_are_told_from_speech(glm: VllmEngine, name: str, *, streamed: bool) -> None:
    told = await tell(glm, ask(BY_NAME[name], is_streamed=streamed))

    assert (told.thoughts, told.speech) == EXPECTED[name]
    assert told.calls == ()
    assert told.end.finish_reason is FinishReason.STOP
    assert (told.usage.reasoning_token_count > 0) == bool(told.thoughts)


async def test_a_crowd_is_told_the_same_in_fewer_pieces(glm: VllmEngine) -> None:
    names = [name for name in EXPECTED for _ in range(10)]

    told = await asyncio.gather(*(tell(glm, ask(BY_NAME[name])) for name in names))

    assert [(one.thoughts, one.speech) for one in told] == [EXPECTED[name] for name in names]
    pieces = [delta.token_count for one in told for delta in one.deltas]
    assert sum(pieces) / len(pieces) > 1.5
    assert max(pieces) > 3  # a word of several tokens is no bundle yet


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
async def test_the_stream_put_together_is_the_unary_answer(glm: VllmEngine, case: cases.Case) -> None:
    streamed = await tell(glm, ask(case))
    unary = await tell(glm, ask(case, is_streamed=False))

    assert streamed.summary() == unary.summary()
    assert len(unary.deltas) <= 1
    assert not any("\ufffd" in delta.text + delta.reasoning for delta in streamed.deltas)


CALLED = {
    "calls one tool": ("", [("get_weather", {"city": "Paris"})]),
    "says something and calls": ("I will check.", [("get_weather", {"city": "Oslo"})]),
    "calls without arguments": ("", [("get_time", {})]),
    "calls two tools in a row": ("", [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome"})]),
    "writes an argument with quotes, lines, Chinese and an emoji": (
        "",
        [("write_note", {"text": cases.NOTES["the stars"]})],
    ),
}


@pytest.mark.parametrize("name", CALLED)
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "unary"])
async def test_calls_are_read(glm: VllmEngine, name: str, *, streamed: bool) -> None:
    told = await tell(glm, ask(BY_NAME[name], is_streamed=streamed))

    assert (told.speech, [(call.name, json.loads(call.arguments_json)) for call in told.calls]) == CALLED[name]
    assert {call.state for call in told.calls} == {ToolCallState.COMPLETE}
    assert told.end.finish_reason is FinishReason.TOOL_CALLS


async def test_arguments_are_streamed_in_pieces(glm: VllmEngine) -> None:
    told = await tell(glm, ask(BY_NAME["writes a long argument"]))

    pieces = [piece for delta in told.deltas for piece in delta.tool_calls]
    assert len([piece for piece in pieces if piece.arguments_json]) > 10
    assert [piece.name for piece in pieces if piece.id] == ["write_note"]
    assert [piece.state for piece in pieces if piece.state] == [ToolCallState.COMPLETE]


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "unary"])
async def test_a_call_of_a_tool_that_nobody_offered_is_reported(glm: VllmEngine, *, streamed: bool) -> None:
    told = await tell(glm, ask(BY_NAME["calls a tool although none is offered"], is_streamed=streamed))

    (call,) = told.calls
    assert (call.name, json.loads(call.arguments_json)) == ("teleport", {"planet": "Venus"})
    assert call.state is ToolCallState.UNKNOWN_TOOL


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "unary"])
async def test_a_call_that_is_cut_off_is_reported_with_what_was_written(glm: VllmEngine, *, streamed: bool) -> None:
    request = ask(BY_NAME["writes a long argument"], options={"max_output_tokens": 25}, is_streamed=streamed)

    told = await tell(glm, request)

    (call,) = told.calls
    assert call.state is ToolCallState.CUT_OFF
    assert call.arguments_json.startswith('{"text": "The sea')
    assert told.end.finish_reason is FinishReason.LENGTH


async def test_nothink_in_the_users_words_switches_thinking_off(glm: VllmEngine) -> None:
    case = BY_NAME["obeys a typed /nothink"]

    typed = await glm.count_tokens(ask(case))
    switched = await glm.count_tokens(ask(BY_NAME["greets straight"]))

    assert typed == switched


async def test_thoughts_can_be_kept_from_the_answer_and_are_counted(glm: VllmEngine) -> None:
    case = BY_NAME["greets in English"]
    shown = await tell(glm, ask(case))

    hidden = await tell(glm, ask(case, reasoning=ReasoningOptions(is_included=False)))

    assert (hidden.thoughts, hidden.speech) == ("", cases.HELLO)
    assert hidden.usage.reasoning_token_count == shown.usage.reasoning_token_count > 0


async def test_one_call_is_kept_where_calls_are_not_parallel(glm: VllmEngine) -> None:
    told = await tell(glm, ask(BY_NAME["calls two tools in a row"], is_parallel_calling=False))

    assert [json.loads(call.arguments_json) for call in told.calls] == [{"city": "Paris"}]


@pytest.mark.parametrize("choice", [ToolChoiceMode.REQUIRED, NamedTool("get_time")], ids=["required", "named"])
async def test_a_call_can_be_demanded(glm: VllmEngine, choice: Any) -> None:
    told = await tell(glm, ask(BY_NAME["greets straight"], tools=TOOLS, tool_choice=choice))

    assert told.calls
    if isinstance(choice, NamedTool):
        assert {call.name for call in told.calls} == {"get_time"}


async def test_no_call_is_made_where_none_is_allowed(glm: VllmEngine) -> None:
    told = await tell(glm, ask(BY_NAME["calls one tool"], tool_choice=ToolChoiceMode.NONE))

    assert told.speech or told.calls
    assert all(call.state is ToolCallState.UNKNOWN_TOOL for call in told.calls)


async def test_logprobs_cover_every_token_of_thoughts_and_calls(glm: VllmEngine) -> None:
    told = await tell(glm, ask(BY_NAME["calls two tools in a row"], options={"top_logprobs": 1}))

    tokens = [token for delta in told.deltas for token in delta.logprobs]
    assert len(tokens) == told.usage.output_token_count
    raw = b"".join(token.chosen.raw_bytes for token in tokens).decode()
    assert raw.startswith(BY_NAME["calls two tools in a row"].written)


async def test_choices_are_read_each_by_itself(glm: VllmEngine) -> None:
    request = ask(BY_NAME["greets in English"], options={"temperature": 0.01, "choice_count": 2, "seed": 1})

    _, *deltas, finished = [event async for event in glm.generate(await glm.prepare(request))]

    whole = WholeAnswer()
    for delta in deltas:
        assert isinstance(delta, Delta)
        whole.add(delta)
    assert isinstance(finished, Finished)
    assert [whole[index].text for index in (0, 1)] == [cases.HELLO] * 2
    assert [whole[index].reasoning for index in (0, 1)] == ["The user greets me."] * 2


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("effort", {"reasoning": ReasoningOptions(effort=ReasoningEffort.LOW)}, "reasoning.effort"),
    ("a schema", {"tools": (Tool("f", "", "{"),)}, "tools[0].parameters_json_schema"),
    (
        "hidden thoughts with token logprobs",
        {"reasoning": ReasoningOptions(is_included=False), "options": {"top_logprobs": 1}},
        "reasoning.include_reasoning",
    ),
    (
        "arguments of an earlier call",
        {"messages": (Message(Role.ASSISTANT, (), (ToolCall("1", "f", "{"),)), Message(Role.TOOL, (), (), "1"))},
        "messages[0].tool_calls[0].arguments_json",
    ),
]


@pytest.mark.parametrize(("fields", "field"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
async def test_what_cannot_be_done_is_refused_by_its_field(glm: VllmEngine, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(PalaverError) as refused:
        await glm.prepare(ask(BY_NAME["greets in English"], field_prefix="chat.", **fields))

    assert refused.value.reason is Reason.INVALID_FIELD
    assert refused.value.violations[0].field == f"chat.{field}"
    assert glm.running_count == 0


async def test_the_model_says_what_it_can(glm: VllmEngine) -> None:
    assert glm.description.reads_tools
    assert glm.description.reads_thoughts
    assert glm.description.holds_forms
