from __future__ import annotations

from google.protobuf import json_format

from palaver.v1 import chat_service_pb2, choice_pb2


def chat_request(text: str = "hello big world", **options: object) -> chat_service_pb2.ChatRequest:
    body = {"messages": [{"role": "ROLE_USER", "content": [{"text": text}]}], "options": options}
    return json_format.ParseDict(body, chat_service_pb2.ChatRequest())


async def test_chat_answers_in_one_piece(serve):
    server = await serve()
    answer = await server.chat.Chat(chat_request())
    assert [part.text for part in answer.choices[0].message.content] == ["hello big world"]
    assert answer.choices[0].finish_reason == choice_pb2.FINISH_REASON_STOP
    assert answer.model == "scripted"
    assert answer.usage.output_token_count == 3
    assert answer.usage.total_token_count == answer.usage.prompt_token_count + answer.usage.output_token_count


async def test_a_stream_starts_once_and_finishes_once_and_says_the_same(serve):
    server = await serve()
    unary = await server.chat.Chat(chat_request())
    call = server.chat.StreamChat(chat_service_pb2.StreamChatRequest(chat=chat_request()))
    events = [event async for event in call]
    assert [event.WhichOneof("event") for event in events] == ["started", "delta", "delta", "delta", "finished"]
    deltas = [event.delta for event in events[1:-1]]
    assert "".join(delta.text for delta in deltas) == unary.choices[0].message.content[0].text
    assert [delta.sequence_number for delta in deltas] == [0, 1, 2]
    assert events[0].started.prompt_token_count == unary.usage.prompt_token_count
    assert events[-1].finished.usage == unary.usage


async def test_the_prompt_is_counted_as_it_is_answered(serve):
    server = await serve()
    answer = await server.chat.Chat(chat_request())
    counted = await server.chat.CountTokens(chat_service_pb2.CountTokensRequest(chat=chat_request()))
    assert counted.prompt_token_count == answer.usage.prompt_token_count
    assert counted.max_output_tokens == counted.context_length - counted.prompt_token_count


async def test_the_model_may_be_named_by_its_id_or_its_resource_name(serve):
    server = await serve(served_model_name="org/model")
    for name in ("", "org/model", "models/org/model"):
        request = chat_request()
        request.model = name
        assert (await server.chat.Chat(request)).model == "org/model"


async def test_a_request_id_is_taken_over_and_comes_back_in_the_trailers(serve):
    server = await serve()
    call = server.chat.Chat(chat_request(), metadata=[("x-request-id", "mine-1")])
    await call
    assert dict(await call.trailing_metadata())["x-request-id"] == "mine-1"


async def test_an_unfit_request_id_is_replaced(serve):
    server = await serve()
    call = server.chat.Chat(chat_request(), metadata=[("x-request-id", "a" * 129)])
    await call
    assert len(dict(await call.trailing_metadata())["x-request-id"]) == 32
