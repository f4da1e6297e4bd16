from __future__ import annotations

import grpc
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2

from palaver.v1 import chat_service_pb2, choice_pb2


def stream_request(**options: object) -> chat_service_pb2.StreamChatRequest:
    chat = {"messages": [{"role": "ROLE_USER", "content": [{"text": "hi"}]}], "options": options}
    return json_format.ParseDict({"chat": chat}, chat_service_pb2.StreamChatRequest())


@pytest.fixture
async def server(serve):
    return await serve(scripted_tokens=1000, scripted_interval=0.01)


async def test_a_time_limit_ends_the_answer_with_the_text_so_far(server):
    answer = await server.chat.Chat(stream_request(time_limit="0.2s").chat)
    assert answer.choices[0].finish_reason == choice_pb2.FINISH_REASON_TIME_LIMIT
    assert 1 < answer.usage.output_token_count < 40
    assert len(answer.choices[0].message.content[0].text.split()) == answer.usage.output_token_count


async def test_an_answer_that_stops_before_its_deadline_arrives_in_time(server):
    call = server.chat.StreamChat(stream_request(stop_before_deadline=True), timeout=0.6)
    events = [event async for event in call]
    finished = events[-1].finished
    assert finished.choices[0].finish_reason == choice_pb2.FINISH_REASON_TIME_LIMIT
    assert finished.usage.output_token_count > 10


async def test_without_being_asked_to_stop_the_call_fails_at_its_deadline(server):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.chat.Chat(stream_request().chat, timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_deadline_too_short_to_begin_is_told_and_costs_the_engine_nothing(server):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.chat.Chat(stream_request(stop_before_deadline=True).chat, timeout=0.1)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    status = status_pb2.Status.FromString(dict(caught.value.trailing_metadata())["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "DEADLINE_TOO_SHORT"
    assert server.engine.running_count == 0


async def test_stopping_before_no_deadline_changes_nothing(serve):
    server = await serve(scripted_tokens=3)
    answer = await server.chat.Chat(stream_request(stop_before_deadline=True).chat)
    assert answer.choices[0].finish_reason == choice_pb2.FINISH_REASON_STOP
