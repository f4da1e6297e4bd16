"""An answer has the form that was asked for, thoughts and calls of tools beside it, streamed or not."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from palaver_server.core.generation import GenerationRequest
from palaver_server.core.response_format import (
    ChoiceFormat,
    GrammarFormat,
    JsonSchemaFormat,
    RegexFormat,
    ResponseFormat,
    StructuralTagFormat,
)
from palaver_server.core.tools import NamedTool, Tool, ToolCallState, ToolChoiceMode
from palaver_server.engine.vllm.engine import VllmEngine
from tests.engine.test_glm import BY_NAME, ask, tell

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "pet": {"enum": ["cat", "dog", None]},
    },
    "required": ["name", "age", "pet"],
    "additionalProperties": False,
}
EBNF = 'root ::= ("ab" | "cd"){2,3} "."\n'
TAG = {
    "type": "structural_tag",
    "format": {
        "type": "tag",
        "begin": "<a>",
        "content": {"type": "json_schema", "json_schema": {"enum": [1, 2]}},
        "end": "</a>",
    },
}


def is_person(text: str) -> bool:
    jsonschema.validate(json.loads(text), PERSON)
    return True


FORMS: dict[str, tuple[ResponseFormat, Any]] = {
    "a schema": (JsonSchemaFormat(json.dumps(PERSON), "person", "Somebody."), is_person),
    "an expression": (RegexFormat(r"[A-F]{3}-\d{4}"), re.compile(r"[A-F]{3}-\d{4}").fullmatch),
    "a choice": (
        ChoiceFormat(("yes", "no", 'a "quoted" one\n', "häß")),
        {"yes", "no", 'a "quoted" one\n', "häß"}.__contains__,
    ),
    "a grammar": (GrammarFormat(EBNF), re.compile(r"(ab|cd){2,3}\.").fullmatch),
    "a Lark grammar": (GrammarFormat('start: ("ab" | "cd") END\nEND: "!"'), re.compile("(ab|cd)!").fullmatch),
    "a tag": (StructuralTagFormat(json.dumps(TAG)), {"<a>1</a>", "<a>2</a>"}.__contains__),
}


@pytest.mark.parametrize("name", FORMS)
async def test_an_answer_has_its_form(glm: VllmEngine, name: str) -> None:
    form, fits = FORMS[name]
    request = ask(BY_NAME["greets straight"], response_format=form, options={"max_output_tokens": 300})

    streamed = await tell(glm, request)
    unary = await tell(glm, replace(request, is_streamed=False))

    assert fits(streamed.speech), streamed.speech
    assert streamed.speech == unary.speech
    assert streamed.thoughts == ""


async def test_thoughts_are_not_held_to_the_form(glm: VllmEngine) -> None:
    told = await tell(glm, ask(BY_NAME["greets in English"], response_format=JsonSchemaFormat(json.dumps(PERSON))))

    assert told.thoughts == "The user greets me."
    assert is_person(told.speech)


WEATHER = Tool(
    "get_weather",
    "Tells the weather.",
    json.dumps(
        {
            "type": "object",
            "properties": {
                "city": {"enum": ["Paris", "Rome"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 9},
            },
            "required": ["city", "days"],
            "additionalProperties": False,
        }
    ),
)
STRICT = replace(WEATHER, is_strict=True)


def calling(tool: Tool, **fields: Any) -> GenerationRequest:
    return ask(BY_NAME["greets straight"], tools=(tool,), options={"max_output_tokens": 300}, **fields)


@pytest.mark.parametrize("choice", [ToolChoiceMode.REQUIRED, NamedTool("get_weather")], ids=["required", "named"])
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "unary"])
async def test_the_arguments_of_a_strict_tool_fit_its_schema(glm: VllmEngine, choice: Any, *, streamed: bool) -> None:
    told = await tell(glm, calling(STRICT, tool_choice=choice, is_parallel_calling=False, is_streamed=streamed))

    (call,) = told.calls
    assert (call.name, call.state) == ("get_weather", ToolCallState.COMPLETE)
    jsonschema.validate(json.loads(call.arguments_json), json.loads(WEATHER.parameters_json_schema))


async def test_an_answer_calls_or_has_the_form_where_the_model_may_choose(glm: VllmEngine) -> None:
    told = await tell(glm, calling(STRICT, response_format=JsonSchemaFormat(json.dumps(PERSON))))

    assert bool(told.calls) != bool(told.speech)
    assert told.calls or is_person(told.speech)


async def test_the_form_counts_where_no_tool_may_be_called(glm: VllmEngine) -> None:
    form = JsonSchemaFormat(json.dumps(PERSON))
    told = await tell(glm, calling(WEATHER, tool_choice=ToolChoiceMode.NONE, response_format=form))

    assert not told.calls
    assert is_person(told.speech)


async def test_the_form_holds_a_model_that_may_think_and_does_not(glm: VllmEngine) -> None:
    case = BY_NAME["answers without thinking although it may think"]
    told = await tell(glm, ask(case, response_format=JsonSchemaFormat(json.dumps(PERSON))))

    # Kept from answering at once in free text, this model begins to think. vLLM's own way lets the text through.
    assert told.thoughts
    assert told.speech == "" or is_person(told.speech)
