"""Who does not read its answer has its call among ``--max-calls`` until its connection ends, and holds up no stop."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, content_part_pb2, message_pb2, role_pb2

MESSAGE = message_pb2.Message(role=role_pb2.ROLE_USER, content=[content_part_pb2.ContentPart(text="one two three")])
CHAT = chat_service_pb2.ChatRequest(messages=[MESSAGE])
SHORT = chat_service_pb2.ChatRequest(messages=[MESSAGE], options={"max_output_tokens": 1})
SMALL_WINDOWS = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1024)]
LONG = {"scripted_tokens": 200_000, "scripted_interval": 0.0}
MAX_CALLS = 3


@asynccontextmanager
async def unread(address, count):
    """So many whole answers, none of which its caller takes."""
    async with grpc.aio.insecure_channel(address, options=SMALL_WINDOWS) as channel:
        # The stub would read at once.
        chat = channel.unary_stream(
            "/palaver.v1.ChatService/Chat",
            request_serializer=chat_service_pb2.ChatRequest.SerializeToString,
            response_deserializer=chat_service_pb2.ChatResponse.FromString,
        )
        calls = [chat(CHAT) for _ in range(count)]
        for call in calls:
            await call.initial_metadata()
        yield calls


async def code_of_a_call(address) -> grpc.StatusCode:
    async with grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            await chat_service_pb2_grpc.ChatServiceStub(channel).Chat(SHORT)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


async def test_an_unread_answer_ends_with_its_connection(serve):
    server = await serve(max_calls=MAX_CALLS, max_connection_age=2.0, max_connection_age_grace=1.0, **LONG)
    async with unread(server.address, MAX_CALLS) as calls:
        assert server.engine.running_count == 0, "the engine is free, as the answers are written"
        assert await code_of_a_call(server.address) is grpc.StatusCode.RESOURCE_EXHAUSTED
        async with asyncio.timeout(60):
            while await code_of_a_call(server.address) is not grpc.StatusCode.OK:
                await asyncio.sleep(0.05)
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError, match="max connection age") as caught:
                await call.read()
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_stop_is_not_held_up_by_an_unread_answer(serve):
    server = await serve(grace=600.0, **LONG)
    async with unread(server.address, MAX_CALLS), asyncio.timeout(60):
        assert await server.stop() == 0
