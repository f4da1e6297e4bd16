from __future__ import annotations

import asyncio

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


async def test_answers_to_calls_of_one_request_id_have_ids_of_their_own(serve):
    server = await serve()
    same = [("x-request-id", "same")]
    ids = [(await server.chat.Chat(chat_request(), metadata=same)).id for _ in range(2)]
    started = await server.chat.StreamChat(
        chat_service_pb2.StreamChatRequest(chat=chat_request()), metadata=same
    ).read()
    ids.append(started.started.id)
    assert len(set(ids)) == 3
    assert all(name.startswith("chat-") and "same" not in name for name in ids)


async def test_an_unfit_request_id_is_replaced(serve):
    server = await serve()
    call = server.chat.Chat(chat_request(), metadata=[("x-request-id", "a" * 129)])
    await call
    assert len(dict(await call.trailing_metadata())["x-request-id"]) == 32


async def test_each_choices_end_is_told_with_its_last_piece_where_there_are_several(serve):
    server = await serve()
    chat = chat_request(choice_count=3, temperature=0.5, stop_sequences=["world"])
    events = [event async for event in server.chat.StreamChat(chat_service_pb2.StreamChatRequest(chat=chat))]
    *deltas, finished = [event for event in events if not event.HasField("started")]
    ends = [delta.delta.finish for delta in deltas if delta.delta.HasField("finish")]
    assert [end.index for end in ends] == [0, 1, 2]
    assert list(finished.finished.choices) == ends
    last = {delta.delta.choice_index: delta.delta for delta in deltas}
    assert all(delta.HasField("finish") for delta in last.values())
    assert [delta.delta.sequence_number for delta in deltas] == list(range(len(deltas)))
    only = [event async for event in server.chat.StreamChat(chat_service_pb2.StreamChatRequest(chat=chat_request()))]
    assert not any(event.delta.HasField("finish") for event in only)


async def test_times_count_from_the_arrival_so_waiting_for_room_is_in_them(serve):
    server = await serve(max_concurrent_requests=1, scripted_first=0.3)
    first, second = await asyncio.gather(server.chat.Chat(chat_request()), server.chat.Chat(chat_request()))
    for answer in (first, second):
        times = answer.timings
        assert times.queue_duration.ToTimedelta() <= times.time_to_first_token.ToTimedelta()
        assert times.time_to_first_token.ToTimedelta() <= times.total_duration.ToTimedelta()
    waited = sorted(one.timings.queue_duration.ToTimedelta().total_seconds() for one in (first, second))
    assert waited[1] >= 0.25
    stream = server.chat.StreamChat(chat_service_pb2.StreamChatRequest(chat=chat_request()))
    finished = [event async for event in stream][-1].finished
    assert finished.timings.time_to_first_token.ToTimedelta().total_seconds() >= 0.25
