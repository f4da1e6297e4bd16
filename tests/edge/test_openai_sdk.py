"""OpenAI's own SDK through the real Envoy, with nothing but the base URL, the key and the CA changed.

What the tests of ``openai_sdk.CASES`` do is in there: ``tests/engine/test_openai_sdk.py`` does the same to vLLM's
own server and compares. The others say in ``openai_sdk.NOT_COMPARED`` why they are not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from tests import openai_sdk
from tests.edge.conftest import ENDLESS, FAILING, NAMED, NARROW, SILENT, Pair
from tests.openai_sdk import NOT_COMPARED, REFUSED, Place, Seen, Side

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
async def side(pair) -> AsyncIterator[Side]:
    async with async_client(pair) as client:
        with sync_client(pair) as sync:
            yield Side(
                client,
                sync,
                MODEL,
                plain="one two three",
                calling='/say I look.\n/call get_weather {"city": "Oslo"}',
                placed='{"city": "Oslo"}',
                tools=(WEATHER,),
            )


@pytest.fixture
async def seen(request, side) -> Seen:
    """What the case got that has the test's name."""
    return await openai_sdk.CASES[request.function.__name__.removeprefix("test_")](side)


def test_every_test_is_compared_with_vllm_or_says_why_not():
    tests = {name for name, test in globals().items() if name.startswith("test_") and callable(test)}
    refused_or_this = {"test_errors_are_the_sdks_own", "test_every_test_is_compared_with_vllm_or_says_why_not"}
    assert tests - refused_or_this == {f"test_{name}" for name in (*openai_sdk.CASES, *NOT_COMPARED)}


def test_an_answer_in_one_piece(seen):
    assert seen.facts == {
        "text": "one two three",
        "finish_reason": "stop",
        "completion_tokens": 3,
        "id of the answer begins with": "chatcmpl",
        "names its request": True,
    }


def test_a_stream(seen):
    assert seen.facts == {
        "text": "one two three",
        "finish_reason": "stop",
        "choices of the last": [],
        "completion_tokens": 3,
        "ids": 1,
    }


def test_async_answers_and_streams(seen):
    assert seen.facts == {"whole": "one two three", "streamed": "one two three"}


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


def test_the_streaming_helper_makes_events_and_the_whole(seen):
    assert {"chunk", "content.delta", "content.done"} <= set(seen.facts.pop("kinds"))
    assert seen.facts == {
        "deltas": "one two three",
        "done": ["one two three"],
        "text": "one two three",
        "completion_tokens": 3,
    }


def test_raw_and_streaming_responses(seen):
    assert seen.facts == {
        "content type": "application/json",
        "content type of the stream": "text/event-stream; charset=utf-8",
        "text": "one two three",
        "last line": "data: [DONE]",
        "starts of lines": ["data:"],
        "request ids": True,
    }


def test_models(seen):
    assert (seen.facts["ids"], seen.facts["retrieved"]) == ([MODEL], MODEL)
    assert seen.facts["error"] == "NotFoundError"
    assert (seen.facts["code"], seen.facts["param"]) == ("model_not_found", "model")


TOLD = {
    "a number out of range": ("invalid_value", "temperature"),
    "a word for a number": ("invalid_value", "temperature"),
    "a salt of the cache": ("unsupported_parameter", "cache_salt"),
    "a template": ("unsupported_parameter", "chat_template"),
    "store": ("unsupported_parameter", "store"),
    "another model": ("model_not_found", "model"),
    "too long a prompt": ("context_length_exceeded", "messages"),
    "no messages": ("invalid_value", "messages"),
}
"""By name in ``REFUSED``: code and param."""


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", REFUSED)
async def test_errors_are_the_sdks_own(side, name, streamed):
    seen = await openai_sdk.refusal(side, REFUSED[name], streamed=streamed)
    code, param = TOLD[name]
    status = 404 if name == "another model" else 400
    assert seen.facts == {
        "answered": False,
        "error": {400: "BadRequestError", 404: "NotFoundError"}[status],
        "status": status,
        "code": code,
        "param": param,
        "type": "invalid_request_error",
        "request id": True,
        "message": True,
    }


def test_a_path_that_does_not_exist(seen):
    assert (seen.facts["error"], seen.facts["code"]) == ("NotFoundError", "unknown_url")


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


def test_many_threads_share_a_client(seen):
    assert seen.facts == {"texts": [f"this is number {number}" for number in range(24)], "ids": 24}


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


def test_tools_are_called_and_answered_as_the_sdk_has_it(seen):
    assert seen.facts == {
        "calls": [("get_weather", {"city": "Oslo"})],
        "said before": "I look.",
        "finish_reason": "tool_calls",
        "said after": "sunny",
    }


def test_an_answer_of_a_class_is_parsed(seen):
    assert seen.facts == {"parsed": {"city": "Oslo"}}


async def test_an_answer_that_does_not_fit_its_class_is_refused(side):
    with pytest.raises(openai.BadRequestError) as caught:
        await side.client.chat.completions.parse(**side.asking("Oslo"), response_format=Place)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "response_format")
