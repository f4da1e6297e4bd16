"""Whoever leaves a call frees the engine: by cancelling, by closing the channel, by dying, by running out of time."""

from __future__ import annotations

import asyncio
import sys

import grpc
import psutil
import pytest

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, content_part_pb2, message_pb2, role_pb2

ROUNDS = 100
CLIENT = """
import asyncio, sys, grpc
from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc

async def main():
    request = chat_service_pb2.StreamChatRequest.FromString(bytes.fromhex(sys.argv[2]))
    async with grpc.aio.insecure_channel(sys.argv[1]) as channel:
        calls = [chat_service_pb2_grpc.ChatServiceStub(channel).StreamChat(request) for _ in range(ROUNDS)]
        await asyncio.gather(*(call.read() for call in calls))
        print("reading", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def stream_request() -> chat_service_pb2.StreamChatRequest:
    part = content_part_pb2.ContentPart(text="one two three")
    message = message_pb2.Message(role=role_pb2.ROLE_USER, content=[part])
    return chat_service_pb2.StreamChatRequest(chat=chat_service_pb2.ChatRequest(messages=[message]))


async def until(condition, seconds: float = 2.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
async def server(serve):
    return await serve(scripted_tokens=1_000_000, scripted_interval=0.005, max_concurrent_requests=ROUNDS)


async def test_a_cancelled_call_frees_the_engine_every_time(server):
    memory = []
    for _ in range(ROUNDS):
        call = server.chat.StreamChat(stream_request())
        await call.read()
        await call.read()
        assert server.engine.running_count == 1
        call.cancel()
        await until(lambda: server.engine.running_count == 0)
        memory.append(psutil.Process().memory_info().rss)
    assert max(memory[50:]) - memory[49] < 8 * 1024**2


async def test_a_closed_channel_frees_the_engine_every_time(server):
    for _ in range(ROUNDS):
        async with grpc.aio.insecure_channel(server.address) as channel:
            call = chat_service_pb2_grpc.ChatServiceStub(channel).StreamChat(stream_request())
            await call.read()
            assert server.engine.running_count == 1
        await until(lambda: server.engine.running_count == 0)


async def test_a_deadline_frees_the_engine_every_time(server):
    for _ in range(ROUNDS):
        call = server.chat.StreamChat(stream_request(), timeout=0.03)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: server.engine.running_count == 0)


async def test_a_client_that_is_killed_frees_the_engine(server):
    client = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CLIENT.replace("ROUNDS", str(ROUNDS)),
        server.address,
        stream_request().SerializeToString().hex(),
        stdout=asyncio.subprocess.PIPE,
    )
    assert client.stdout is not None
    assert await client.stdout.readline() == b"reading\n"
    assert server.engine.running_count == ROUNDS
    client.kill()
    await client.wait()
    await until(lambda: server.engine.running_count == 0)


async def test_an_abandoned_unary_call_frees_the_engine(server):
    call = server.chat.Chat(stream_request().chat)
    await until(lambda: server.engine.running_count == 1)
    call.cancel()
    await until(lambda: server.engine.running_count == 0)
