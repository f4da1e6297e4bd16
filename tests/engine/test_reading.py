"""How a model's text is read: thoughts, speech and calls out of GLM's format, however the text is cut into pieces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaver_server.core.answer import WholeAnswer, WholeChoice
from palaver_server.core.tools import Tool, ToolCallState
from tests.engine.outputs import outputs

if TYPE_CHECKING:  # vLLM takes seconds to import
    from palaver_server.engine.vllm.answer.parsed_stage import ParsedStage

WEATHER = Tool(
    "get_weather",
    "Get the weather.",
    json.dumps(
        {
            "type": "object",
            "properties": {"city": {"type": "string", "pattern": "^[A-Z]"}, "days": {"type": "integer"}},
            "required": ["city"],
        }
    ),
)
TIME = Tool("get_time")
END = "</tool_call>"


def call(name: str, **arguments: str) -> str:
    pairs = (f"<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n" for key, value in arguments.items())
    return f"<tool_call>{name}\n{''.join(pairs)}{END}"


class Reader:
    """Reads texts as the engine would give them, token by token or many tokens at once."""

    def __init__(self, tokenizer: Any, prompt: str = "[gMASK]<sop><|user|>\nHi<|assistant|>") -> None:
        self._tokenizer = tokenizer
        self._prompt_ids = tokenizer.encode(prompt, add_special_tokens=False)

    def stage(self, **reading: Any) -> ParsedStage:
        from palaver_server.engine.tool_judge import ToolJudge  # noqa: PLC0415
        from palaver_server.engine.vllm.answer.glm_parser import GlmParser  # noqa: PLC0415
        from palaver_server.engine.vllm.answer.parsed_stage import ParsedStage, Reading  # noqa: PLC0415
        from palaver_server.engine.vllm.prompt.chat_request import vllm_chat_request  # noqa: PLC0415
        from tests.engine.conftest import say  # noqa: PLC0415

        tools = reading.pop("tools", (WEATHER, TIME))
        allows_calls = reading.pop("allows_calls", True)
        request = say("Hi")
        chat = vllm_chat_request(replace(request, tools=tools), request.options, {})
        judge = ToolJudge(tools, allows_calls=allows_calls)
        parser = GlmParser(self._tokenizer, chat.tools, self._prompt_ids)
        return ParsedStage(0, parser, Reading(chat, self._prompt_ids, judge, **reading))

    def outputs(self, text: str, cuts: Sequence[int], finish: str, stop: str | int | None) -> list[Any]:
        return outputs(self._tokenizer, text, cuts, finish, stop)

    def read(
        self,
        text: str,
        cuts: Sequence[int] = (),
        *,
        finish: str = "stop",
        stop: str | int | None = None,
        **reading: Any,
    ) -> WholeChoice:
        stage, answer = self.stage(**reading), WholeAnswer()
        for output in self.outputs(text, cuts, finish, stop):
            if (delta := stage.feed(output)) is not None:
                answer.add(delta)
        return answer[0]


@pytest.fixture(scope="module")
def reader(tokenizer: Any) -> Reader:
    return Reader(tokenizer)


EVERY_TOKEN = tuple(range(400))
both_ways = pytest.mark.parametrize("cuts", [(), EVERY_TOKEN], ids=["whole", "token by token"])


@both_ways
@pytest.mark.parametrize(
    ("text", "thoughts", "speech"),
    [
        ("\n<think>abc</think>\nhello world", "abc", "hello world"),
        ("hello world", "", "hello world"),
        ("\nhello world", "", "hello world"),
        ("<think>abc</think>hello", "abc", "hello"),
        ("\n<think></think>\nhello", "", "hello"),
        ("\n<think>I forgot.", "I forgot.", ""),
        ("hello <think>again</think>world", "again", "hello world"),
        ("one\n\ntwo\n", "", "one\n\ntwo\n"),
    ],
)
def test_thoughts_are_told_from_speech(
    reader: Reader, cuts: Sequence[int], text: str, thoughts: str, speech: str
) -> None:
    told = reader.read(text, cuts)

    assert (told.reasoning, told.text, told.tool_calls) == (thoughts, speech, ())


@both_ways
def test_a_prompt_that_opens_thoughts_is_continued_with_them(tokenizer: Any, cuts: Sequence[int]) -> None:
    told = Reader(tokenizer, "[gMASK]<sop><|user|>\nHi<|assistant|><think>").read("abc</think>\nhello", cuts)

    assert (told.reasoning, told.text) == ("abc", "hello")


@both_ways
def test_thoughts_can_be_kept_from_the_answer(reader: Reader, cuts: Sequence[int]) -> None:
    told = reader.read("<think>abc</think>hello", cuts, has_thoughts=False)

    assert (told.reasoning, told.text) == ("", "hello")


def test_thoughts_are_counted(reader: Reader, tokenizer: Any) -> None:
    stage = reader.stage()
    for output in reader.outputs("\n<think>one two three</think>\nhello", EVERY_TOKEN, "stop", None):
        stage.feed(output)

    assert stage.reasoning_token_count == len(tokenizer.encode("one two three", add_special_tokens=False))


@both_ways
def test_calls_are_read_without_stray_line_breaks(reader: Reader, cuts: Sequence[int]) -> None:
    text = f"\nI will look.\n{call('get_weather', city='Paris', days='3')}\n{call('get_time')}\n"

    told = reader.read(text, cuts)

    assert told.text == "I will look."
    assert [(one.name, json.loads(one.arguments_json), one.state) for one in told.tool_calls] == [
        ("get_weather", {"city": "Paris", "days": 3}, ToolCallState.COMPLETE),
        ("get_time", {}, ToolCallState.COMPLETE),
    ]
    assert len({one.id for one in told.tool_calls}) == 2


@both_ways
def test_a_tool_that_nobody_offered_is_reported(reader: Reader, cuts: Sequence[int]) -> None:
    (told,) = reader.read(call("teleport", planet="Mars"), cuts).tool_calls

    assert (told.name, json.loads(told.arguments_json)) == ("teleport", {"planet": "Mars"})
    assert told.state is ToolCallState.UNKNOWN_TOOL
    assert "teleport" in told.problem


@both_ways
def test_a_call_where_no_tools_are_offered_is_reported(reader: Reader, cuts: Sequence[int]) -> None:
    (told,) = reader.read(call("teleport", planet="Mars"), cuts, tools=()).tool_calls

    assert told.state is ToolCallState.UNKNOWN_TOOL


@both_ways
def test_a_call_against_the_tool_choice_is_reported(reader: Reader, cuts: Sequence[int]) -> None:
    (told,) = reader.read(call("get_time"), cuts, allows_calls=False).tool_calls

    assert told.state is ToolCallState.UNKNOWN_TOOL
    assert told.problem == "The request allows no calls."


@both_ways
@pytest.mark.parametrize(
    ("text", "finish", "stop"),
    [
        ("<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Par", "length", None),
        ("<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n", "length", None),
        ("<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Par", "stop", "is"),
        ("<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Par", "stop", None),
    ],
    ids=["within a text", "between arguments", "by a stop sequence", "by the model itself"],
)
def test_a_call_that_is_cut_off_is_reported(
    reader: Reader, cuts: Sequence[int], text: str, finish: str, stop: str | None
) -> None:
    (told,) = reader.read(text, cuts, finish=finish, stop=stop).tool_calls

    assert told.name == "get_weather"
    assert told.state is ToolCallState.CUT_OFF
    assert told.arguments_json.startswith('{"city": "Par')


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "'city' is a required property"),
        ({"city": "paris"}, "does not match"),
        ({"city": "P", "days": "x"}, "days"),
    ],
)
def test_arguments_that_do_not_fit_are_reported(reader: Reader, arguments: dict[str, str], problem: str) -> None:
    (told,) = reader.read(call("get_weather", **arguments), EVERY_TOKEN).tool_calls

    assert told.state is ToolCallState.INVALID_ARGUMENTS
    assert problem in told.problem


def test_only_the_first_call_is_kept_where_one_is_wanted(reader: Reader) -> None:
    told = reader.read(f"{call('get_time')}\n{call('get_weather', city='Paris')}", EVERY_TOKEN, max_calls=1)

    assert [(one.name, one.state) for one in told.tool_calls] == [("get_time", ToolCallState.COMPLETE)]


WORDS = st.text(alphabet=st.sampled_from("abc \n\"'\\{}<>/你好🎉é0"), min_size=1, max_size=12).filter(
    lambda text: text.strip()
)
CITIES = st.builds(lambda rest: f"P{rest}", WORDS.map(str.strip))
THOUGHTS = st.one_of(st.just(""), WORDS.map(lambda text: f"\n<think>{text}</think>\n"))
CALLS = st.lists(
    st.one_of(st.just(call("get_time")), CITIES.map(lambda city: call("get_weather", city=city))), max_size=2
)


@settings(max_examples=300, deadline=None)
@given(THOUGHTS, WORDS, CALLS, st.lists(st.integers(0, 500), max_size=30))
def test_any_cutting_reads_as_the_whole(
    tokenizer: Any, thoughts: str, words: str, calls: list[str], cuts: list[int]
) -> None:
    text = thoughts + words + "\n".join(calls)
    reader = Reader(tokenizer)

    whole, cut = reader.read(text), reader.read(text, cuts)

    assert (cut.reasoning, cut.text) == (whole.reasoning, whole.text)
    assert [(one.name, one.arguments_json, one.state) for one in cut.tool_calls] == [
        (one.name, one.arguments_json, one.state) for one in whole.tool_calls
    ]
    assert len(whole.tool_calls) == len(calls)
    assert words.strip() in whole.text or calls


BAD_SCHEMAS = [
    ("[", "JSON text"),
    ("[]", "an object"),
    ('{"type": "string"}', "an object"),
    ('{"type": "object", "properties": 3}', "no JSON Schema"),
    ('{"type": "object", "$ref": "#"}', "without end"),
    ('{"type": "object", "allOf": [{"$ref": "#/nowhere"}]}', "not in it"),
    ('{"type": "object", "allOf": [{"$ref": "https://example.com/a"}]}', "not in it"),
    ('{"type": "object", "patternProperties": {"(a+)+$": {}}}', "patternProperties"),
    ('{"a":' * 200 + "1" + "}" * 200, "levels"),
    ('{"a":' * 100_000 + "1" + "}" * 100_000, "JSON text"),
]


@pytest.mark.usefixtures("tokenizer")
@pytest.mark.parametrize(("schema", "problem"), BAD_SCHEMAS, ids=[problem for _, problem in BAD_SCHEMAS])
def test_a_schema_that_cannot_be_judged_by_is_refused(schema: str, problem: str) -> None:
    from palaver_server.core.errors import PalaverError  # noqa: PLC0415
    from palaver_server.engine.tool_judge import check_tools  # noqa: PLC0415

    with pytest.raises(PalaverError) as refused:
        check_tools([TIME, Tool("f", "", schema)], "chat.")

    assert refused.value.violations[0].field == "chat.tools[1].parameters_json_schema"
    assert problem in refused.value.violations[0].description


@pytest.mark.usefixtures("tokenizer")
def test_a_hostile_pattern_holds_nobody_up() -> None:
    from palaver_server.engine.tool_judge import ToolJudge, check_tools  # noqa: PLC0415

    schema = {"type": "object", "properties": {"text": {"type": "string", "pattern": "^(a|a)*$"}}}
    tool = Tool("f", "", json.dumps(schema))
    check_tools([tool], "")

    state, problem = ToolJudge([tool]).judge("f", json.dumps({"text": "a" * 40 + "!"}), is_cut_off=False)

    assert state is ToolCallState.INVALID_ARGUMENTS
    assert problem


class ComposedReader(Reader):
    """Reads with vLLM's own composition of parsers, as for every family but GLM."""

    def stage(self, **reading: Any) -> ParsedStage:
        from palaver_server.engine.tool_judge import ToolJudge  # noqa: PLC0415
        from palaver_server.engine.vllm.answer.parsed_stage import ParsedStage, Reading  # noqa: PLC0415
        from palaver_server.engine.vllm.answer.parsers import ParserNames, Parsers  # noqa: PLC0415
        from palaver_server.engine.vllm.prompt.chat_request import vllm_chat_request  # noqa: PLC0415
        from tests.engine.conftest import say  # noqa: PLC0415

        tools = (WEATHER, TIME)
        request = replace(say("Hi"), tools=tools)
        chat = vllm_chat_request(request, request.options, {})
        model: Any = SimpleNamespace(model="m", hf_config=SimpleNamespace(model_type="qwen3"))
        parsers = Parsers(ParserNames("hermes", "qwen3"), model, self._tokenizer)
        parser = parsers.new(chat, self._prompt_ids, {})
        return ParsedStage(0, parser, Reading(chat, self._prompt_ids, ToolJudge(tools), **reading))


@both_ways
def test_other_families_are_read_by_vllms_parsers(tokenizer: Any, cuts: Sequence[int]) -> None:
    reader = ComposedReader(tokenizer)
    called = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'

    spoken = reader.read("<think>\nabc</think>\n\nhello", cuts)
    told = reader.read(f"<think>\nabc</think>\n\nI look.\n{called}", cuts)

    assert (spoken.reasoning, spoken.text) == ("abc", "hello")
    (call,) = told.tool_calls
    assert (told.text, call.name, json.loads(call.arguments_json)) == ("I look.", "get_weather", {"city": "Paris"})
    assert call.state is ToolCallState.COMPLETE
    assert call.id


@both_ways
def test_other_families_calls_are_told_to_be_cut_off(tokenizer: Any, cuts: Sequence[int]) -> None:
    text = '<think>\nabc</think>\n\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Par'

    told = ComposedReader(tokenizer).read(text, cuts, finish="length")

    assert all(call.state is ToolCallState.CUT_OFF for call in told.tool_calls)
    assert told.tool_calls or "get_weather" in told.text
