from __future__ import annotations

import asyncio
import time

import grpc
from google.rpc import error_details_pb2, status_pb2

from palaver.v1 import chat_service_pb2, content_part_pb2, message_pb2, role_pb2


def chat_request(text: str = "one two three") -> chat_service_pb2.ChatRequest:
    part = content_part_pb2.ContentPart(text=text)
    return chat_service_pb2.ChatRequest(messages=[message_pb2.Message(role=role_pb2.ROLE_USER, content=[part])])


def details_of(error: grpc.aio.AioRpcError) -> tuple[error_details_pb2.ErrorInfo, float]:
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(retry)
    return info, retry.retry_delay.ToTimedelta().total_seconds()


async def test_exactly_room_and_queue_are_served_and_the_rest_is_refused_before_any_ends(serve):
    server = await serve(max_concurrent_requests=4, max_queued_requests=4, scripted_tokens=3, scripted_first=3.0)
    ended_at: list[float] = []
    refused: list[tuple[float, grpc.aio.AioRpcError]] = []

    async def call() -> None:
        try:
            await server.chat.Chat(chat_request())
            ended_at.append(time.monotonic())
        except grpc.aio.AioRpcError as error:
            refused.append((time.monotonic(), error))

    await asyncio.gather(*(call() for _ in range(200)))
    assert len(ended_at) == 8
    assert len(refused) == 192
    assert max(at for at, _ in refused) < min(ended_at)
    promises = []
    for _, error in refused:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        info, seconds = details_of(error)
        assert info.reason == "SERVER_OVERLOADED"
        assert 0 < seconds <= 60
        promises.append(seconds)
    assert len(set(promises)) > 150, "those who are refused together must not come back together"
    assert server.engine.running_count == 0


async def test_the_refused_succeed_when_they_come_back_as_told(serve):
    server = await serve(max_concurrent_requests=4, max_queued_requests=4, scripted_tokens=2, scripted_first=0.02)
    tries = []

    async def call() -> None:
        for attempt in range(1, 40):
            try:
                await server.chat.Chat(chat_request())
            except grpc.aio.AioRpcError as error:
                _, seconds = details_of(error)
                await asyncio.sleep(seconds)
            else:
                tries.append(attempt)
                return

    await asyncio.gather(*(call() for _ in range(200)))
    assert len(tries) == 200
    assert max(tries) <= 10


async def test_a_caller_who_leaves_the_queue_makes_room_in_it(serve):
    server = await serve(max_concurrent_requests=1, max_queued_requests=1, scripted_hang_after=1)
    first = server.chat.StreamChat(chat_service_pb2.StreamChatRequest(chat=chat_request()))
    await first.read()
    second = server.chat.Chat(chat_request())
    await until(lambda: server.app.waiting_count == 1)
    second.cancel()
    await until(lambda: server.app.waiting_count == 0)
    third = server.chat.Chat(chat_request())
    await until(lambda: server.app.waiting_count == 1)
    third.cancel()
    first.cancel()
    await until(lambda: server.engine.running_count == 0)


async def until(condition, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)
