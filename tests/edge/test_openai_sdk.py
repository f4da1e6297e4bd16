"""OpenAI's own SDK through the real Envoy, with nothing but the base URL, the key and the CA changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import openai
import pydantic
import pytest

from tests.edge.conftest import ENDLESS, FAILING, NAMED, NARROW, SILENT, Pair

PAIR_FLAGS = NAMED
MODEL = "org/model"


def asking(text: str = "one two three", **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}


def sync_client(pair: Pair, **options: Any) -> openai.OpenAI:
    http = openai.DefaultHttpxClient(verify=pair.ssl_context, trust_env=False)
    return openai.OpenAI(
        **{"base_url": f"{pair.url}/v1", "api_key": "none", "http_client": http, "max_retries": 0, **options}
    )


def async_client(pair: Pair, **options: Any) -> openai.AsyncOpenAI:
    http = openai.DefaultAsyncHttpxClient(verify=pair.ssl_context, trust_env=False)
    return openai.AsyncOpenAI(
        **{"base_url": f"{pair.url}/v1", "api_key": "none", "http_client": http, "max_retries": 0, **options}
    )


@pytest.fixture
def client(pair) -> Iterator[openai.OpenAI]:
    with sync_client(pair) as client:
        yield client


@pytest.fixture
async def aclient(pair) -> AsyncIterator[openai.AsyncOpenAI]:
    async with async_client(pair) as client:
        yield client


def test_an_answer_in_one_piece(client):
    answer = client.chat.completions.create(**asking())
    assert answer.choices[0].message.content == "one two three"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens == 3
    assert answer._request_id
    assert answer.id == f"chatcmpl-{answer._request_id}"


def test_a_stream(client):
    chunks = list(client.chat.completions.create(**asking(), stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "one two three"
    assert chunks[-1].usage.completion_tokens == 3
    assert chunks[-1].choices == []
    assert chunks[-2].choices[0].finish_reason == "stop"


async def test_async_answers_and_streams(aclient):
    answer = await aclient.chat.completions.create(**asking())
    stream = await aclient.chat.completions.create(**asking(), stream=True)
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(pieces) == answer.choices[0].message.content


async def test_tokens_arrive_one_by_one(shared_pair):
    pair = shared_pair(*ENDLESS)
    async with async_client(pair) as client:
        stream = await client.chat.completions.create(**{**asking(), "model": ""}, stream=True)
        arrivals = []
        async for _ in stream:
            arrivals.append(time.monotonic())
            if len(arrivals) == 10:
                break
        await stream.close()
    assert arrivals[-1] - arrivals[0] > 0.2


async def test_the_streaming_helper_makes_events_and_the_whole(aclient):
    async with aclient.chat.completions.stream(**asking(), stream_options={"include_usage": True}) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_completion()
    assert "".join(event.delta for event in events if event.type == "content.delta") == "one two three"
    assert [event.content for event in events if event.type == "content.done"] == ["one two three"]
    assert final.choices[0].message.content == "one two three"
    assert final.usage.completion_tokens == 3


async def test_raw_and_streaming_responses(aclient):
    raw = await aclient.chat.completions.with_raw_response.create(**asking())
    assert raw.headers["content-type"] == "application/json"
    assert raw.request_id
    assert raw.parse().choices[0].message.content == "one two three"
    async with aclient.chat.completions.with_streaming_response.create(**asking(), stream=True) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["x-request-id"]
        lines = [line async for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"


def test_models(client):
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL  # the SDK escapes the slash
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("other/model")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("fields", "kind", "code_and_param"),
    [
        ({"temperature": 3}, openai.BadRequestError, ("invalid_value", "temperature")),
        ({"temperature": "hot"}, openai.BadRequestError, ("invalid_value", "temperature")),
        ({"extra_body": {"cache_salt": "x"}}, openai.BadRequestError, ("unsupported_parameter", "cache_salt")),
        ({"extra_body": {"chat_template": "x"}}, openai.BadRequestError, ("unsupported_parameter", "chat_template")),
        ({"store": True}, openai.BadRequestError, ("unsupported_parameter", "store")),
        ({"model": "gpt-x"}, openai.NotFoundError, ("model_not_found", "model")),
        (
            {"messages": [{"role": "user", "content": "x " * 9000}]},
            openai.BadRequestError,
            ("context_length_exceeded", "messages"),
        ),
        ({"messages": []}, openai.BadRequestError, ("invalid_value", "messages")),
    ],
)
def test_errors_are_the_sdks_own(client, fields, kind, code_and_param, streamed):
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**{**asking(), **fields}, stream=streamed)
    error = caught.value
    assert (error.code, error.param) == code_and_param
    assert error.type == "invalid_request_error"
    assert error.request_id
    assert error.body["message"]


def test_a_path_that_does_not_exist(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model=MODEL, input="x")
    assert caught.value.code == "unknown_url"


async def test_overload_is_told_with_the_time_to_wait_and_the_sdk_waits(shared_pair):
    pair = shared_pair(*NARROW)
    question = {**asking("one two three four"), "model": ""}
    async with async_client(pair) as client, async_client(pair, max_retries=20) as patient:
        holding = await client.chat.completions.create(**question, stream=True)
        await anext(aiter(holding))
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(**question)
        assert caught.value.code == "server_overloaded"
        assert int(caught.value.response.headers["retry-after"]) >= 1
        assert int(caught.value.response.headers["retry-after-ms"]) >= 1
        waiting = asyncio.ensure_future(patient.chat.completions.create(**question))
        async for _ in holding:
            pass
        assert (await waiting).choices[0].message.content == "one two three four"


async def test_a_failure_in_the_middle_of_a_stream_raises(shared_pair):
    pair = shared_pair(*FAILING)
    async with async_client(pair) as client:
        stream = await client.chat.completions.create(**{**asking(), "model": ""}, stream=True)
        pieces: list[str] = []
        with pytest.raises(openai.APIError) as caught:
            async for chunk in stream:
                pieces.append(chunk.choices[0].delta.content or "")  # noqa: PERF401  # it fails while it is read
        assert len([piece for piece in pieces if piece]) == 3
        assert (caught.value.code, caught.value.type) == ("generation_failed", "server_error")
        with pytest.raises(openai.InternalServerError) as whole:
            await client.chat.completions.create(**{**asking(), "model": ""})
        assert whole.value.code == "generation_failed"


async def test_a_client_that_gives_up_frees_the_engine(shared_pair):
    pair = shared_pair(*NARROW)
    question = {**asking("word " * 1000), "model": ""}
    short = {**asking("a"), "model": ""}

    async def free() -> None:
        while True:
            try:
                await client.chat.completions.create(**short)
            except openai.RateLimitError:
                await asyncio.sleep(0.05)
            else:
                return

    async with async_client(pair) as client:
        stream = await client.chat.completions.create(**question, stream=True)
        await anext(aiter(stream))
        await stream.close()
        await free()
        with pytest.raises(openai.APITimeoutError):
            await client.chat.completions.create(**question, timeout=1)
        await free()
        running = asyncio.ensure_future(client.chat.completions.create(**question))
        while not (pair.process.poll() is None and await _is_full(client, short)):
            await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.wait({running})
        await free()


async def _is_full(client: openai.AsyncOpenAI, question: dict[str, Any]) -> bool:
    try:
        await client.chat.completions.create(**question)
    except openai.RateLimitError:
        return True
    return False


async def test_a_deadline_of_the_caller_ends_a_stream_with_an_error_event(shared_pair):
    pair = shared_pair(*ENDLESS)
    async with async_client(pair) as client:
        headers = {"grpc-timeout": "1500m"}
        stream = await client.chat.completions.create(
            **{**asking("word " * 1000), "model": ""}, stream=True, extra_headers=headers
        )
        with pytest.raises(openai.APIError) as caught:
            async for _ in stream:
                pass
        assert caught.value.code == "deadline_exceeded"


async def test_comments_keep_a_slow_first_token_alive(shared_pair):
    pair = shared_pair(*SILENT)
    async with async_client(pair, timeout=httpx.Timeout(30, read=0.8)) as client:
        stream = await client.chat.completions.create(**{**asking(), "model": ""}, stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "one two three"
        with pytest.raises(openai.APITimeoutError):  # without comments that is what happens
            await client.chat.completions.create(**{**asking(), "model": ""})


def test_many_threads_share_a_client(client):
    import concurrent.futures  # noqa: PLC0415  # of this test alone

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        texts = [f"this is number {number}" for number in range(24)]
        answers = list(pool.map(lambda text: client.chat.completions.create(**asking(text)), texts))
    assert [answer.choices[0].message.content for answer in answers] == texts
    assert len({answer.id for answer in answers}) == 24


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


async def test_tools_are_called_and_answered_as_the_sdk_has_it(aclient):
    asked = asking('/say I look.\n/call get_weather {"city": "Oslo"}', tools=[WEATHER])
    async with aclient.chat.completions.stream(**asked) as stream:
        done = [event async for event in stream if event.type == "tool_calls.function.arguments.done"]
        final = await stream.get_final_completion()
    assert [(event.name, event.parsed_arguments) for event in done] == [("get_weather", {"city": "Oslo"})]
    (choice,) = final.choices
    assert (choice.message.content, choice.finish_reason) == ("I look.", "tool_calls")
    (call,) = choice.message.tool_calls
    turn = {"role": "assistant", "tool_calls": [call.model_dump(exclude={"function": {"parsed_arguments", "index"}})]}
    turn["tool_calls"][0].pop("index", None)
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    answer = await aclient.chat.completions.create(**{**asked, "messages": [*asked["messages"], turn, result]})
    assert answer.choices[0].message.content == "sunny"


def test_an_answer_of_a_class_is_parsed(client):
    class Place(pydantic.BaseModel):
        city: str

    answer = client.chat.completions.parse(**asking('{"city": "Oslo"}'), response_format=Place)
    assert answer.choices[0].message.parsed == Place(city="Oslo")
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.parse(**asking("Oslo"), response_format=Place)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "response_format")
