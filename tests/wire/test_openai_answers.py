from __future__ import annotations

import asyncio
import itertools
import json
import time

import grpc
import pytest
from google.api import httpbody_pb2
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from palaver.v1 import openai_service_pb2, openai_service_pb2_grpc
from tests.wire.openai_calls import answer, asking, call, events, events_of, refusal


async def test_an_answer_in_one_piece_is_openais_document(serve):
    server = await serve()
    document = await answer(server.channel, asking("hello big world"))
    completion = ChatCompletion.model_validate(document, strict=True)
    assert completion.choices[0].message.content == "hello big world"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == "scripted"
    assert completion.id.startswith("chatcmpl-")
    assert abs(completion.created - time.time()) < 60
    assert completion.usage.completion_tokens == 3
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + 3


async def test_a_stream_says_the_same_as_the_answer_in_one_piece(serve):
    server = await serve()
    whole = await answer(server.channel, asking('say "quotes", \\, \u00e9 and \U0001f600'))
    *chunks, done = await events(server.channel, asking('say "quotes", \\, \u00e9 and \U0001f600'))
    assert done == "[DONE]"
    parsed = [ChatCompletionChunk.model_validate(chunk, strict=True) for chunk in chunks]
    assert parsed[0].choices[0].delta.role == "assistant"
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in parsed) == whole["choices"][0]["message"]["content"]
    )
    assert {chunk.system_fingerprint for chunk in parsed} == {whole["system_fingerprint"]}
    assert [chunk.choices[0].finish_reason for chunk in parsed] == [None] * (len(parsed) - 1) + ["stop"]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in parsed}) == 1
    assert not any("usage" in chunk for chunk in chunks)


async def test_usage_comes_in_one_more_chunk_when_it_is_asked_for(serve):
    server = await serve()
    whole = await answer(server.channel, asking())
    *chunks, usage, done = await events(server.channel, asking(stream_options={"include_usage": True}))
    assert done == "[DONE]"
    assert usage["choices"] == []
    assert usage["usage"] == whole["usage"]
    assert all(chunk["usage"] is None for chunk in chunks)
    assert {chunk["system_fingerprint"] for chunk in (*chunks, usage)} == {whole["system_fingerprint"]}


async def test_running_usage_counts_up_to_the_whole(serve):
    server = await serve()
    options = {"include_usage": True, "continuous_usage_stats": True}
    *chunks, usage, _ = await events(server.channel, asking(stream_options=options))
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert counts == [0, 1, 2, 3, 3]
    assert usage["usage"]["completion_tokens"] == 3
    assert all(chunk["usage"]["prompt_tokens"] == usage["usage"]["prompt_tokens"] for chunk in chunks)


async def test_a_stop_sequence_and_a_limit_are_told(serve):
    server = await serve()
    stopped = await answer(server.channel, asking("one two three", stop="two"))
    assert stopped["choices"][0]["message"]["content"] == "one "
    assert stopped["choices"][0]["finish_reason"] == "stop"
    assert stopped["choices"][0]["stop_reason"] == "two"
    for limit in ("max_tokens", "max_completion_tokens"):
        cut = await answer(server.channel, asking("one two three", **{limit: 2}))
        assert cut["choices"][0]["message"]["content"] == "one two"
        assert cut["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    "fields",
    [
        {
            "temperature": None,
            "stop": None,
            "stream": None,
            "max_tokens": None,
            "stream_options": None,
            "anything": None,
        },
        {"store": False, "modalities": ["text"], "service_tier": "auto", "verbosity": "medium", "echo": False},
        {
            "prompt_cache_key": "team-1",
            "prompt_cache_retention": "in_memory",
            "prompt_cache_options": {"mode": "implicit"},
        },
        {"service_tier": "default", "safety_identifier": "u-1", "prediction": None, "web_search_options": None},
        {"max_tokens": 8, "max_completion_tokens": 8},
        {"top_k": -1, "seed": -1, "temperature": 0, "top_p": 1, "min_p": 0},
        {"seed": 2**63 - 1},
        {"seed": -(2**63)},
        {"stop": ["xyz"], "presence_penalty": -2, "frequency_penalty": 2.0, "repetition_penalty": 1.1},
        {"logprobs": False, "top_logprobs": 0, "response_format": {"type": "text"}},
        {"model": ""},
        {"model": "models/scripted"},
        {"metadata": {"UserId": "42", "Größe (cm)": "x" * 512, "k" * 64: ""}},
        {"repetition_detection": {}},
        {"repetition_detection": {"max_pattern_size": 0, "min_count": 3}},
    ],
)
async def test_what_asks_for_nothing_and_what_is_in_range_is_taken(serve, fields):
    server = await serve()
    assert (await answer(server.channel, asking(**fields)))["choices"][0]["message"]["content"] == "hello big world"


async def test_every_way_to_write_a_conversation_is_taken(serve):
    server = await serve()
    conversation = [
        {"role": "developer", "content": "Obey."},
        {"role": "system", "content": [{"type": "text", "text": "Obey more."}]},
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": "Yes",
            "refusal": None,
            "annotations": [],
            "audio": None,
            "function_call": None,
        },
        {"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}], "name": None},
    ]
    document = await answer(server.channel, {"messages": conversation})
    assert document["choices"][0]["message"]["content"] == "one two"


async def test_an_answer_can_be_sent_back_as_it_came(serve):
    server = await serve()
    first = await answer(server.channel, asking())
    again = [*asking()["messages"], first["choices"][0]["message"], {"role": "user", "content": "more"}]
    second = await answer(server.channel, {"messages": again})
    assert second["choices"][0]["message"]["content"] == "more"


async def test_tokens_arrive_at_the_pace_of_the_engine(serve):
    server = await serve(scripted_interval=0.2)
    arrivals = [time.monotonic() async for _ in call(server.channel, asking("a b c d e", stream=True))]
    assert len(arrivals) == 7  # the speaker, five words, the end
    gaps = [late - early for early, late in itertools.pairwise(arrivals[1:6])]
    assert sum(gaps) > 0.4


async def test_a_comment_keeps_a_slow_first_token_alive(serve):
    server = await serve(scripted_first=1.0, event_stream_keepalive=0.1)
    messages = [message.data.decode() async for message in call(server.channel, asking(stream=True))]
    comments = [message for message in messages if message.startswith(":")]
    assert len(comments) >= 3
    assert all(comment.endswith("\n\n") for comment in comments)
    assert events_of("".join(messages))[-1] == "[DONE]"


async def test_a_comment_keeps_a_caller_in_the_queue_alive_and_a_later_error_is_an_event(serve):
    server = await serve(max_concurrent_requests=1, scripted_interval=3600, event_stream_keepalive=0.1, grace=0.0)
    holding = call(server.channel, asking(stream=True))
    await holding.read()
    waiting = call(server.channel, asking("too long " * 9000, stream=True))
    messages = aiter(waiting)
    first = await anext(messages)
    assert first.data.startswith(b":")
    assert first.content_type == "text/event-stream; charset=utf-8"
    holding.cancel()
    rest = b""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for message in messages:
            rest += message.data
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    (event,) = events_of(rest.decode())
    assert event["error"]["code"] == "context_length_exceeded"
    assert event["error"]["param"] == "messages"


async def test_a_failure_in_the_middle_is_the_last_event_and_the_status(serve):
    server = await serve(scripted_tokens=9, scripted_fail_after=3)
    received = b""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for message in call(server.channel, asking(stream=True)):
            received += message.data
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "x-palaver-body" not in dict(caught.value.trailing_metadata())
    *chunks, last = events_of(received.decode())
    assert len(chunks) == 4
    assert last["error"]["type"] == "server_error"
    assert last["error"]["code"] == "generation_failed"


async def test_a_failure_before_the_answer_is_the_status_alone(serve):
    server = await serve(scripted_tokens=9, scripted_fail_after=3)
    refused = await refusal(server.channel, asking())
    assert (refused.code, refused.error["code"]) == ("INTERNAL", "generation_failed")


async def test_a_caller_that_leaves_frees_the_engine(serve):
    server = await serve(scripted_tokens=1000, scripted_interval=0.05)
    for streamed in (True, False):
        running = call(server.channel, asking(stream=streamed))
        reading = asyncio.ensure_future(running.read())
        while server.engine.running_count == 0:
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait({reading})
        while server.engine.running_count:
            await asyncio.sleep(0.01)


async def test_who_comes_too_many_is_told_when_to_come_again(serve):
    server = await serve(max_concurrent_requests=1, max_queued_requests=0, scripted_interval=3600)
    holding = call(server.channel, asking(stream=True))
    await holding.read()
    for streamed in (True, False):
        refused = await refusal(server.channel, asking(stream=streamed))
        assert (refused.code, refused.error["code"]) == ("RESOURCE_EXHAUSTED", "server_overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        assert int(refused.headers["retry-after-ms"]) >= 1
    holding.cancel()


async def test_a_deadline_ends_a_stream(serve):
    server = await serve(scripted_interval=3600)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call(server.channel, asking(stream=True), timeout=0.5):
            pass
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    while server.engine.running_count:
        await asyncio.sleep(0.01)


async def test_answers_have_ids_of_their_own_and_calls_keep_their_callers(serve):
    server = await serve()
    ids = []
    for _ in range(2):
        running = call(server.channel, asking(), metadata=[("x-request-id", "mine-1")])
        (message,) = [message async for message in running]
        ids.append(json.loads(message.data)["id"])
        assert dict(await running.trailing_metadata())["x-request-id"] == "mine-1"
    assert all(name.startswith("chatcmpl-") and "mine" not in name for name in ids)
    assert ids[0] != ids[1]


async def test_the_model_is_listed_and_described(serve):
    server = await serve(served_model_name="org/model")
    stub = openai_service_pb2_grpc.OpenAIServiceStub(server.channel)
    listed = json.loads((await stub.ListOpenAIModels(openai_service_pb2.ListOpenAIModelsRequest())).data)
    assert listed["object"] == "list"
    (model,) = listed["data"]
    one = await stub.GetOpenAIModel(openai_service_pb2.GetOpenAIModelRequest(model="org/model"))
    assert isinstance(one, httpbody_pb2.HttpBody)
    assert json.loads(one.data) == model
    assert (model["id"], model["object"], model["owned_by"], model["root"]) == (
        "org/model",
        "model",
        "palaver",
        "org/model",
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetOpenAIModel(openai_service_pb2.GetOpenAIModelRequest(model="other"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    error = json.loads(dict(caught.value.trailing_metadata())["x-palaver-body"])["error"]
    assert (error["param"], error["code"]) == ("model", "model_not_found")


async def test_the_end_of_each_of_several_choices_is_told_once_and_before_the_usage(serve):
    server = await serve()
    body = asking(n=2, temperature=0.5, stream_options={"include_usage": True})
    *chunks, usage, done = await events(server.channel, body)
    assert done == "[DONE]"
    ends = [c["index"] for chunk in chunks for c in chunk["choices"] if c["finish_reason"] is not None]
    assert sorted(ends) == [0, 1]
    said = [
        "".join(c["delta"].get("content") or "" for x in chunks for c in x["choices"] if c["index"] == n)
        for n in (0, 1)
    ]
    assert said == ["hello big world"] * 2
    assert usage["usage"]["completion_tokens"] == 6


async def test_an_answer_tells_how_long_it_took_in_vllms_words(serve):
    server = await serve(scripted_interval=0.02)
    document = await answer(server.channel, asking())
    times = document["metrics"]
    assert times["generation_time_ms"] == pytest.approx(times["mean_itl_ms"] * 2, abs=0.01)
    assert times["generation_time_ms"] >= 30
    *_, usage, _ = await events(server.channel, asking(stream_options={"include_usage": True}))
    assert usage["metrics"].keys() == times.keys()
    several = await answer(server.channel, asking(n=2, temperature=0.5))
    assert several["metrics"] is None
