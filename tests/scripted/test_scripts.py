"""What a script makes a scripted engine say: thoughts, text, calls of tools, and how each choice ends."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from palaver_server.core.answer import WholeAnswer
from palaver_server.core.conversation import Message, Role, TextPart
from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.events import Delta, Finished, FinishReason
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.options import GenerationOptions
from palaver_server.core.reasoning import ReasoningOptions
from palaver_server.core.response_format import ChoiceFormat, JsonObjectFormat, JsonSchemaFormat, RegexFormat
from palaver_server.core.tools import NamedTool, Tool, ToolCall, ToolCallState, ToolChoiceMode
from palaver_server.engine.scripted.behaviour import ScriptedBehaviour
from palaver_server.engine.scripted.cue import THOUGHT
from palaver_server.engine.scripted.script import Call, ScriptError, Speech, Thought, Utterance, parse
from tests.scripted.asking import ask, collect, finished_of, loaded

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("get_weather", "Tells the weather.", json.dumps(SCHEMA))
OSLO = '/call get_weather {"city": "Oslo"}'


async def answered(
    request: GenerationRequest, behaviour: ScriptedBehaviour | None = None
) -> tuple[WholeAnswer, Finished, list[Delta]]:
    events = await collect(await loaded(behaviour), request)
    deltas = [event for _, event in events if isinstance(event, Delta)]
    whole = WholeAnswer()
    for delta in deltas:
        whole.add(delta)
    return whole, finished_of(events), deltas


def with_weather(text: str, **fields: Any) -> GenerationRequest:
    return replace(ask(text), tools=(WEATHER,), **fields)


def test_a_script_is_read_line_by_line() -> None:
    script = '/think Well.\n/say One\n  two\n/call f\n/call g {"a":\n 1}\n/choice\n/cut\n/then\n/say /say'
    assert parse(script) == (
        (
            Utterance((Thought("Well."), Speech("One\n  two"), Call("f", "{}"), Call("g", '{"a":\n 1}'))),
            Utterance((), is_cut=True),
        ),
        (Utterance((Speech("/say"),)),),
    )


@pytest.mark.parametrize("text", ["hello", "", "/saying", "/etc/passwd", " /say x", "hello\n/say x", "/nothink"])
def test_any_other_text_is_said_as_it_stands(text: str) -> None:
    assert parse(text) == ((Utterance((Speech(text),)),),)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("/say a\n/cal f", "line 2 of the script is no directive"),
        ("/call", "line 1 of the script: /call needs the name of a tool"),
        ("/cut now", "line 1 of the script: /cut stands alone"),
        ("/then\nmore", "line 2 of the script: nothing can follow /then"),
        ("/say a\n/cut\n/say b", "line 3 of the script: nothing can follow /cut"),
    ],
)
async def test_a_broken_script_is_refused_with_its_line(script: str, problem: str) -> None:
    with pytest.raises(ScriptError, match=problem):
        parse(script)
    with pytest.raises(PalaverError, match=problem) as refused:
        await (await loaded()).prepare(ask(script))
    assert [violation.field for violation in refused.value.violations] == ["chat.messages[0].content"]
    with pytest.raises(ValueError, match=problem):
        ScriptedBehaviour(answer=script)


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_thoughts_text_and_calls_come_apart_and_in_order(is_streamed: bool) -> None:
    script = f"/think I must look.\n/say I look it up.\n{OSLO}\n/call get_weather"
    whole, finished, deltas = await answered(replace(with_weather(script), is_streamed=is_streamed))
    assert (whole[0].reasoning, whole[0].text) == ("I must look.", "I look it up.")
    good, bad = whole[0].tool_calls
    assert (good.name, good.arguments_json, good.state) == ("get_weather", '{"city": "Oslo"}', ToolCallState.COMPLETE)
    assert (bad.arguments_json, bad.state) == ("{}", ToolCallState.INVALID_ARGUMENTS)
    assert "'city' is a required property" in bad.problem
    assert good.id != bad.id
    assert finished.choices[0].finish_reason is FinishReason.TOOL_CALLS
    assert finished.usage.reasoning_token_count == 3
    assert finished.usage.output_token_count == 3 + 4 + (1 + 2 + 1) + (1 + 1 + 1)
    if is_streamed:
        assert [piece.arguments_json for delta in deltas for piece in delta.tool_calls if piece.index == 0] == [
            "",
            '{"city":',
            ' "Oslo"}',
            "",
        ]
    else:
        assert len(deltas) == 1


@pytest.mark.parametrize(
    ("script", "fields", "state"),
    [
        ("/call get_weather {city}", {}, ToolCallState.MALFORMED),
        ("/call get_weather [1]", {}, ToolCallState.MALFORMED),
        ("/call get_time", {}, ToolCallState.UNKNOWN_TOOL),
        (OSLO, {"tool_choice": ToolChoiceMode.NONE}, ToolCallState.UNKNOWN_TOOL),
        (f"{OSLO}\n/cut", {}, ToolCallState.CUT_OFF),
        (OSLO, {"options": GenerationOptions(max_output_tokens=2)}, ToolCallState.CUT_OFF),
    ],
)
async def test_a_call_that_cannot_be_run_says_why(script: str, fields: dict[str, Any], state: ToolCallState) -> None:
    whole, finished, _ = await answered(with_weather(script, **fields))
    (call,) = whole[0].tool_calls
    assert call.state is state
    assert call.problem
    is_cut = state is ToolCallState.CUT_OFF
    assert finished.choices[0].finish_reason is (FinishReason.LENGTH if is_cut else FinishReason.TOOL_CALLS)


async def test_only_the_first_call_is_kept_where_one_is_asked_for() -> None:
    whole, _, _ = await answered(with_weather(f"{OSLO}\n{OSLO}", is_parallel_calling=False))
    assert len(whole[0].tool_calls) == 1


async def test_each_choice_has_its_own_words_and_its_own_end() -> None:
    script = f"/say yes\n/choice\n{OSLO}\n/choice\n/say no\n/cut"
    whole, finished, _ = await answered(with_weather(script, options=GenerationOptions(choice_count=4)))
    assert [whole[index].text for index in range(4)] == ["yes", "", "no", "yes"]
    assert [end.finish_reason for end in finished.choices] == [
        FinishReason.STOP,
        FinishReason.TOOL_CALLS,
        FinishReason.LENGTH,
        FinishReason.STOP,
    ]


async def test_an_agent_loop_goes_from_turn_to_turn_and_ends() -> None:
    script = f"{OSLO}\n/then\n/think Now I know.\n{OSLO}"
    request, answers = with_weather(script), []
    for _ in range(3):
        whole, _, _ = await answered(request)
        answers.append((whole[0].text, len(whole[0].tool_calls)))
        calls = whole[0].tool_calls
        results = [Message(Role.TOOL, (TextPart("sunny"),), tool_call_id=call.id) for call in calls]
        turn = Message(Role.ASSISTANT, (), tuple(ToolCall(c.id, c.name, c.arguments_json) for c in calls))
        request = replace(request, messages=(*request.messages, turn, *results))
    assert answers == [("", 1), ("", 1), ("sunny", 0)]


async def test_the_operators_answer_is_said_to_everybody() -> None:
    whole, _, _ = await answered(with_weather("What?"), ScriptedBehaviour(answer=f"/think Hm.\n{OSLO}"))
    assert whole[0].reasoning == "Hm."
    assert len(whole[0].tool_calls) == 1


@pytest.mark.parametrize(
    ("text", "reasoning", "thought", "counted"),
    [
        ("/think a b c\n/say d", ReasoningOptions(), "a b c", 3),
        ("/think a b c\n/say d", ReasoningOptions(is_included=False), "", 3),
        ("/think a b c\n/say d", ReasoningOptions(is_enabled=False), "", 0),
        ("/think a b c\n/say d", ReasoningOptions(budget_tokens=2), "a b", 2),
        ("/think a b c\n/say d", ReasoningOptions(budget_tokens=0), "", 0),
        ("d", ReasoningOptions(is_enabled=True), THOUGHT, 6),
        ("d", ReasoningOptions(), "", 0),
    ],
)
async def test_thoughts_are_as_the_request_has_them(
    text: str, reasoning: ReasoningOptions, thought: str, counted: int
) -> None:
    whole, finished, _ = await answered(replace(ask(text), reasoning=reasoning))
    assert (whole[0].reasoning, whole[0].text) == (thought, "d")
    assert finished.usage.reasoning_token_count == counted


FORMS = [
    (JsonObjectFormat(), '{"a": 1}', "[1]", "response_format"),
    (JsonSchemaFormat(json.dumps(SCHEMA)), '{"city": "Oslo"}', '{"city": 7}', "response_format"),
    (RegexFormat("[a-z]+"), "oslo", "Oslo", "response_format"),
    (ChoiceFormat(("yes", "no")), "no", "maybe", "response_format"),
]


@pytest.mark.parametrize(("form", "good", "bad", "field"), FORMS, ids=[type(form[0]).__name__ for form in FORMS])
async def test_an_answer_has_the_form_or_is_refused(form: Any, good: str, bad: str, field: str) -> None:
    whole, _, _ = await answered(replace(ask(good), response_format=form))
    assert whole[0].text == good
    for text in (bad, f"/say {good}\n/choice\n/say {bad}"):
        options = GenerationOptions(choice_count=2)
        with pytest.raises(PalaverError) as refused:
            await (await loaded()).prepare(replace(ask(text, options), response_format=form))
        assert refused.value.reason is Reason.FIELD_NOT_SUPPORTED
        assert refused.value.violations[0].field == f"chat.{field}"
    assert (await answered(replace(ask(f"/say {bad}\n/cut"), response_format=form)))[0][0].text == bad


async def test_what_is_no_form_is_refused_by_its_own_field() -> None:
    for form, field in [
        (JsonSchemaFormat('{"type": 7}'), "response_format.json_schema.json_schema"),
        (RegexFormat("("), "response_format.regex"),
    ]:
        with pytest.raises(PalaverError) as refused:
            await (await loaded()).prepare(replace(ask("x"), response_format=form))
        assert refused.value.reason is Reason.INVALID_FIELD
        assert refused.value.violations[0].field == f"chat.{field}"


@pytest.mark.parametrize("choice", [ToolChoiceMode.REQUIRED, NamedTool("get_weather")])
async def test_a_call_that_is_demanded_is_made_or_refused(choice: Any) -> None:
    assert (await answered(with_weather(OSLO, tool_choice=choice)))[0][0].tool_calls
    with pytest.raises(PalaverError) as refused:
        await (await loaded()).prepare(with_weather("hello", tool_choice=choice))
    assert refused.value.violations[0].field == "chat.tool_choice"


async def test_a_strict_tools_call_fits_or_is_refused() -> None:
    strict = replace(with_weather(OSLO), tools=(replace(WEATHER, is_strict=True),))
    assert (await answered(strict))[0][0].tool_calls[0].state is ToolCallState.COMPLETE
    broken = replace(strict, messages=ask("/call get_weather {}").messages)
    with pytest.raises(PalaverError) as refused:
        await (await loaded()).prepare(broken)
    assert refused.value.violations[0].field == "chat.tools[0].strict"


async def test_a_stop_sequence_ends_the_text_and_spares_what_comes_before() -> None:
    script = "/think stop\n/say one stop two"
    whole, finished, _ = await answered(ask(script, GenerationOptions(stop_sequences=("stop",))))
    assert (whole[0].reasoning, whole[0].text) == ("stop", "one ")
    assert finished.choices[0].stop_sequence == "stop"


async def test_tools_and_calls_count_as_words_of_the_prompt() -> None:
    engine = await loaded()
    plain = (await engine.count_tokens(ask("one"))).prompt_token_count
    offered = (await engine.count_tokens(with_weather("one"))).prompt_token_count
    assert offered == plain + 1 + 3 + len(WEATHER.parameters_json_schema.split())


def test_an_answer_and_a_number_of_words_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="answer and tokens"):
        ScriptedBehaviour(answer="x", tokens=3)
