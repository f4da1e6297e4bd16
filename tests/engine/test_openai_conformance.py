"""The same requests to palaver, through its edge, and to vLLM's own OpenAI server on the same engine.

Each answer must have the same fields of the same types, or the difference stands in ``DIFFERENCES`` with its reason;
what a greedy model says must be the same.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import openai
import pytest
import pytest_asyncio

from palaver_server.engine.vllm.engine import VllmEngine
from tests.engine.conftest import MODEL_ID
from tests.engine.edged import edged
from tests.engine.vllm_app import vllm_app

# vLLM's server warns of OpenAI's old names, and its answer to a warning that is an error would be a 500.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

PERMISSION_FIELDS = (
    *("id", "object", "created", "allow_create_engine", "allow_sampling", "allow_logprobs", "allow_search_indices"),
    *("allow_view", "allow_fine_tuning", "organization", "group", "is_blocking"),
)
DIFFERENCES = {
    "choices[].routed_experts": "asked for by parameters that are not taken from clients",
    "kv_transfer_params": "between the servers of an operator, not for clients",
    "ec_transfer_params": "between the servers of an operator, not for clients",
    "metrics": "off in vLLM unless its operator asks",
    **{
        f"metrics.{name}": "as above"
        for name in (
            *("time_to_first_token_ms", "generation_time_ms", "queue_time_ms", "mean_itl_ms", "tokens_per_second"),
        )
    },
    "usage.prompt_tokens_details": "vLLM tells cached tokens only by a flag of its operator; here each sees its own",
    "usage.prompt_tokens_details.cached_tokens": "as above",
    "usage.completion_tokens_details": "vLLM tells thoughts only where a reasoning parser runs",
    "usage.completion_tokens_details.reasoning_tokens": "as above",
    "data[].permission": "OpenAI has dropped it",
    "data[].permission[]": "OpenAI has dropped it",
    **{f"data[].permission[].{name}": "OpenAI has dropped it" for name in PERMISSION_FIELDS},
    "error.code": "vLLM repeats the HTTP status; OpenAI's clients switch on a word",
    "error.param": "vLLM names no field where the prompt or the template is at fault",
}
"""By field: why it is not as in vLLM."""

STREAM_DIFFERENCES = DIFFERENCES | {
    "choices[].token_ids": "null in every chunk of vLLM's; left out here where it was not asked for",
    "prompt_token_ids": "as above, in the first chunk",
    "usage": "null in every chunk but the last where usage is asked for, as at OpenAI; vLLM leaves it out there",
    "prompt_text": "as above, in the first chunk",
}


class Servers(NamedTuple):
    """The two that are compared."""

    palaver: httpx.AsyncClient
    vllm: httpx.AsyncClient
    palaver_sdk: openai.AsyncOpenAI
    vllm_sdk: openai.AsyncOpenAI


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def servers(engine: VllmEngine, model: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    async with (
        edged(engine, MODEL_ID, tmp_path_factory.mktemp("s")) as palaver,
        vllm_app(engine._loaded().llm, model, MODEL_ID) as vllm_url,
        httpx.AsyncClient(base_url=vllm_url, timeout=60, trust_env=False) as vllm,
    ):
        yield Servers(
            palaver,
            vllm,
            openai.AsyncOpenAI(base_url=f"{palaver.base_url}/v1", api_key="none", http_client=palaver, max_retries=0),
            openai.AsyncOpenAI(base_url=f"{vllm_url}/v1", api_key="none", http_client=vllm, max_retries=0),
        )


def asking(**fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    limit = {} if "max_tokens" in fields else {"max_completion_tokens": 8}
    return {"model": MODEL_ID, "messages": messages, "temperature": 0, **limit, **fields}


def shape(value: Any, path: str = "") -> set[tuple[str, str]]:
    """Every field of a document with the type that JSON has for it; numbers are one type."""
    if isinstance(value, dict):
        found = {(path, "object")} if path else set()
        for key, item in value.items():
            name = "<id>" if key.isdecimal() else key
            found |= shape(item, f"{path}.{name}" if path else name)
        return found
    if isinstance(value, list):
        return {(path, "list")}.union(*(shape(item, f"{path}[]") for item in value))
    kind = "null" if value is None else type(value).__name__
    return {(path, "number" if kind in ("int", "float") else kind)}


def unexplained(ours: Any, theirs: Any, reasons: dict[str, str]) -> set[tuple[str, str]]:
    return {(path, kind) for path, kind in shape(ours) ^ shape(theirs) if path not in reasons}


def chunks_of(text: str) -> list[dict[str, Any]]:
    *data, done = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert done == "[DONE]"
    return [json.loads(line) for line in data]


def texts(chunks: list[dict[str, Any]]) -> dict[int, str]:
    said: dict[int, str] = {}
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        said[choice["index"]] = said.get(choice["index"], "") + (choice["delta"].get("content") or "")
    return said


def ends(chunks: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    choices = [choice for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    return {(choice["index"], choice["finish_reason"], choice["stop_reason"]) for choice in choices}


CITY = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "sure": {"type": "boolean"}},
    "required": ["city", "sure"],
    "additionalProperties": False,
}
ANSWERS: list[dict[str, Any]] = [
    {},
    {"max_completion_tokens": 4},
    {"max_tokens": 200},
    {"stop": "capital"},
    {"stop": ["Paris", "capital"]},
    {"stop": [" of"], "include_stop_str_in_output": True},
    {"stop_token_ids": [314]},
    {"min_tokens": 8, "max_tokens": 12},
    {"ignore_eos": True, "max_tokens": 12},
    {"seed": 7},
    {"seed": 2**60, "temperature": 0.0},
    {"top_p": 0.5, "top_k": 5, "min_p": 0.1},
    {"top_k": -1},
    {"presence_penalty": 1.5, "frequency_penalty": -0.5, "repetition_penalty": 1.1},
    {"n": 1},
    {"n": 2, "temperature": 0.7, "seed": 3},
    {"logprobs": True},
    {"logprobs": True, "top_logprobs": 3},
    {"logprobs": True, "logprob_token_ids": [260, 314]},
    {"logit_bias": {"504": -100}},
    {"bad_words": ["France"]},
    {"allowed_token_ids": [504, 260, 314, 17]},
    {"return_token_ids": True},
    {"return_prompt_text": True},
    {"skip_special_tokens": False, "max_tokens": 200},
    {"messages": [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "2 + 2?"}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "Say"}, {"type": "text", "text": "hi"}]}]},
    {
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello, my name"}],
        "continue_final_message": True,
        "add_generation_prompt": False,
    },
    {"user": "somebody", "store": False, "metadata": {"a": "b"}},
    {"response_format": {"type": "json_object"}, "max_tokens": 20},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY, "strict": True}}},
    {"structured_outputs": {"json": CITY}, "max_tokens": 30},
    {"structured_outputs": {"regex": "[A-Z][a-z]{3,9}!"}},
    {"structured_outputs": {"grammar": 'root ::= "It is " [A-Z] [a-z]* "."'}},
]
"""Fields of requests, each sent whole and streamed."""


@pytest.mark.parametrize("fields", ANSWERS, ids=json.dumps)
async def test_an_answer_in_one_piece_is_that_of_vllm(servers, fields):
    ours, theirs = await both(servers, asking(**fields))
    assert (ours.status_code, theirs.status_code) == (200, 200), (ours.text, theirs.text)
    assert ours.headers["content-type"] == theirs.headers["content-type"]
    ours, theirs = ours.json(), theirs.json()
    assert unexplained(ours, theirs, DIFFERENCES) == set()
    for our, their in zip(ours["choices"], theirs["choices"], strict=True):
        assert our["message"]["content"] == their["message"]["content"]
        assert (our["finish_reason"], our["stop_reason"]) == (their["finish_reason"], their["stop_reason"])
        assert our["token_ids"] == their["token_ids"]
    assert ours["prompt_text"] == theirs["prompt_text"]
    assert ours["usage"]["total_tokens"] == theirs["usage"]["total_tokens"]


@pytest.mark.parametrize("fields", ANSWERS, ids=json.dumps)
async def test_a_stream_is_that_of_vllm(servers, fields):
    options = {"include_usage": True}
    ours, theirs = await both(servers, asking(**fields, stream=True, stream_options=options))
    assert (ours.status_code, theirs.status_code) == (200, 200), (ours.text, theirs.text)
    assert ours.headers["content-type"] == theirs.headers["content-type"]
    our, their = chunks_of(ours.text), chunks_of(theirs.text)
    assert unexplained(our, their, {f"[].{path}": reason for path, reason in STREAM_DIFFERENCES.items()}) == set()
    assert texts(our) == texts(their)
    assert ends(our) == ends(their)
    assert our[-1]["usage"]["total_tokens"] == their[-1]["usage"]["total_tokens"]
    assert our[0]["choices"][0]["delta"] == their[0]["choices"][0]["delta"]


async def test_running_usage_is_that_of_vllm(servers):
    options = {"include_usage": True, "continuous_usage_stats": True}
    ours, theirs = await both(servers, asking(stream=True, stream_options=options))
    our, their = chunks_of(ours.text), chunks_of(theirs.text)
    assert all("usage" in chunk for chunk in our)
    our, their = ([chunk["usage"]["completion_tokens"] for chunk in chunks] for chunks in (our, their))
    assert our == sorted(our)
    assert (our[0], our[-2:]) == (their[0], their[-2:])


async def test_prompt_logprobs_are_those_of_vllm(servers):
    ours, theirs = await both(servers, asking(prompt_logprobs=1))
    ours, theirs = ours.json()["prompt_logprobs"], theirs.json()["prompt_logprobs"]
    assert shape(ours) == shape(theirs)
    assert [set(place or ()) for place in ours] == [set(place or ()) for place in theirs]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"temperature": 3}, 400),
        ({"temperature": "hot"}, 400),
        ({"top_p": 2}, 400),
        ({"model": "other"}, 404),
        ({"messages": []}, 400),
        ({"max_tokens": 99999}, 400),
        ({"messages": [{"role": "user", "content": "word " * 4000}]}, 400),
        ({"stream_options": {"include_usage": True}}, 400),
        ({"top_logprobs": 2}, 400),
        ({"n": 0}, 400),
    ],
)
async def test_what_vllm_refuses_is_refused_with_its_status_and_shape(servers, fields, status):
    ours, theirs = await both(servers, asking(**fields))
    assert (ours.status_code, theirs.status_code) == (status, status), (ours.text, theirs.text)
    assert unexplained(ours.json(), theirs.json(), DIFFERENCES) == set()


async def test_the_list_of_models_is_that_of_vllm(servers):
    ours, theirs = (await servers.palaver.get("/v1/models")).json(), (await servers.vllm.get("/v1/models")).json()
    assert unexplained(ours, theirs, DIFFERENCES) == set()
    assert ours["data"][0]["max_model_len"] == theirs["data"][0]["max_model_len"]


async def test_the_sdk_reads_the_same_from_both(servers):
    async def whole(client: openai.AsyncOpenAI) -> Any:
        answer = await client.chat.completions.create(**asking())
        return answer.choices[0].message.content, answer.choices[0].finish_reason, answer.usage.total_tokens

    async def streamed(client: openai.AsyncOpenAI) -> Any:
        stream = await client.chat.completions.create(**asking(), stream=True)
        chunks = [chunk async for chunk in stream]
        return "".join(c.choices[0].delta.content or "" for c in chunks), chunks[-1].choices[0].finish_reason

    async def helper(client: openai.AsyncOpenAI) -> Any:
        async with client.chat.completions.stream(**asking()) as stream:
            kinds = {event.type async for event in stream}
            final = await stream.get_final_completion()
        return kinds, final.choices[0].message.content, final.choices[0].finish_reason

    async def raw(client: openai.AsyncOpenAI) -> Any:
        response = await client.chat.completions.with_raw_response.create(**asking())
        return response.headers["content-type"], response.parse().choices[0].message.role

    async def error(client: openai.AsyncOpenAI) -> Any:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(**asking(temperature=3))
        return caught.value.param, caught.value.status_code

    async def timeout(client: openai.AsyncOpenAI) -> Any:
        with pytest.raises(openai.APITimeoutError):
            await client.chat.completions.create(**asking(max_tokens=1500, seed=1), timeout=0.02)

    async def models(client: openai.AsyncOpenAI) -> Any:
        return [model.id async for model in client.models.list()]

    for case in (whole, streamed, helper, raw, error, timeout, models):
        assert await case(servers.palaver_sdk) == await case(servers.vllm_sdk), case.__name__


async def both(servers: Servers, body: dict[str, Any]) -> tuple[Any, Any]:
    """One after the other, so that neither changes the other's batch."""
    path = "/v1/chat/completions"
    return await servers.palaver.post(path, json=body), await servers.vllm.post(path, json=body)
