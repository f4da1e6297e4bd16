"""The helpers of OpenAI's SDK for schemas and tools work unchanged; a hostile schema holds nobody up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import httpx
import openai
import pytest
import pytest_asyncio
from openai import pydantic_function_tool
from pydantic import BaseModel, Field

from palaver_server.engine.policy import FormLimits
from palaver_server.engine.vllm.engine import VllmEngine
from tests.engine.edged import edged

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(300),
    # The SDK serializes its own parsed answers with pydantic, which warns of the SDK's types.
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
MODEL = "tiny-glm"
HOSTILE = {
    "type": "object",
    "properties": {f"p{n}": {"type": "string"} for n in range(400)},
    "minProperties": 200,
    "maxProperties": 300,
}


BAD_FORMAT = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"not": {}}}}
BAD_TOOL = {
    "type": "function",
    "function": {"name": "f", "strict": True, "parameters": {"type": "object", "dependentRequired": {}}},
}


class Pet(BaseModel):
    """Somebody's animal."""

    kind: Literal["cat", "dog"]
    age: int = Field(ge=0, le=30)


class Person(BaseModel):
    """Somebody."""

    initials: str = Field(pattern="^[A-Z]{2}$")
    pets: list[Pet] = Field(max_length=1)
    is_tall: bool | None


class GetWeather(BaseModel):
    """Tells the weather."""

    city: Literal["Paris", "Rome"]
    days: int = Field(ge=1, le=9)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def http(glm: VllmEngine, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    async with edged(glm, MODEL, tmp_path_factory.mktemp("s")) as client:
        yield client


@pytest.fixture
def sdk(http: httpx.AsyncClient) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{http.base_url}/v1", api_key="none", http_client=http, max_retries=0)


SAID = [{"role": "user", "content": "Hi! /nothink"}]


async def test_the_sdk_parses_an_answer_into_the_class_that_was_asked_for(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.parse(
        model=MODEL, messages=SAID, response_format=Person, max_completion_tokens=1500, temperature=0
    )

    assert isinstance(answer.choices[0].message.parsed, Person)


async def test_the_sdk_streams_an_answer_into_the_class_that_was_asked_for(sdk: openai.AsyncOpenAI) -> None:
    asked = {"model": MODEL, "messages": SAID, "response_format": Person, "max_completion_tokens": 1500}
    async with sdk.chat.completions.stream(**asked, temperature=0) as stream:
        kinds = {event.type async for event in stream}
        final = await stream.get_final_completion()

    assert {"content.delta", "content.done"} <= kinds
    assert isinstance(final.choices[0].message.parsed, Person)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "GetWeather"}}], ids=str)
async def test_the_sdk_parses_the_arguments_of_a_strict_tool(sdk: openai.AsyncOpenAI, choice: object) -> None:
    answer = await sdk.chat.completions.parse(
        model=MODEL,
        messages=SAID,
        tools=[pydantic_function_tool(GetWeather)],
        tool_choice=choice,
        parallel_tool_calls=False,
        max_completion_tokens=1500,
        temperature=0,
    )

    (call,) = answer.choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, GetWeather)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": BAD_FORMAT}, "response_format.json_schema.schema"),
        ({"structured_outputs": {"json": {"not": {}}}}, "structured_outputs.json"),
        ({"structured_outputs": {"regex": "("}}, "structured_outputs.regex"),
        ({"structured_outputs": {"grammar": "root ::= nothing"}}, "structured_outputs.grammar"),
        ({"structured_outputs": {"choice": []}}, "structured_outputs.choice"),
        ({"structured_outputs": {"choice": ["a", "a"]}}, "structured_outputs.choice"),
        ({"structured_outputs": {"structural_tag": "{}"}}, "structured_outputs.structural_tag"),
        ({"tools": [BAD_TOOL]}, "tools[0].function.parameters"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_bad_form_is_refused_by_its_name(http: httpx.AsyncClient, fields: dict[str, Any], param: str) -> None:
    answer = await http.post("/v1/chat/completions", json={"model": MODEL, "messages": SAID, **fields})

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text


async def test_a_hostile_schema_holds_up_neither_streams_nor_health(glm: VllmEngine, http: httpx.AsyncClient) -> None:
    loop = asyncio.get_running_loop()
    # The compiler is there before it is timed; then one that takes all the time that it may.
    await ask(http, {"type": "object", "properties": {"a": {"enum": [1, 2]}}})
    before = loop.time()
    hostile = asyncio.create_task(ask(http, HOSTILE))
    gaps: list[float] = []
    answers: list[float] = []
    while not hostile.done():
        asked = {"model": MODEL, "messages": SAID, "stream": True, "max_tokens": 60, "ignore_eos": True}
        async with http.stream("POST", "/v1/chat/completions", json=asked) as stream:
            last = loop.time()
            async for _ in stream.aiter_lines():
                gaps.append(loop.time() - last)
                last = loop.time()
        began = loop.time()
        assert (await http.get("/health")).status_code == 200
        answers.append(loop.time() - began)
    refused = await hostile

    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "response_format.json_schema.schema"
    assert "seconds to compile" in refused.json()["error"]["message"]
    taken = loop.time() - before
    assert taken > FormLimits().compile_seconds
    assert max(gaps) < taken / 2
    assert max(answers) < taken / 2


async def ask(http: httpx.AsyncClient, schema: object) -> httpx.Response:
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    return await http.post(
        "/v1/chat/completions",
        content=json.dumps({"model": MODEL, "messages": SAID, "response_format": form, "max_tokens": 20}),
        headers={"content-type": "application/json"},
    )
