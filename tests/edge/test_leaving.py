"""A caller who leaves frees the engine, over every transport."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, role_pb2
from tests.edge.conftest import ENDLESS

PAIR_FLAGS = ENDLESS
MESSAGES = {"messages": [{"role": "ROLE_USER", "content": [{"text": "hi"}]}]}


def stream_request() -> chat_service_pb2.StreamChatRequest:
    request = chat_service_pb2.StreamChatRequest()
    request.chat.messages.add(role=role_pb2.ROLE_USER).content.add(text="hi")
    return request


@pytest.mark.parametrize("transport", ["REST", "REST stream", "gRPC", "gRPC stream", "OpenAI", "OpenAI stream"])
async def test_a_caller_who_leaves_frees_the_engine(transport, pair):
    request_id = transport.replace(" ", "-")
    metadata = [("x-request-id", request_id)]
    async with pair.client(headers=dict(metadata)) as client, pair.channel() as channel:
        stub = chat_service_pb2_grpc.ChatServiceStub(channel)
        openai = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}], "stream": "stream" in transport}
        call = {
            "REST": lambda: client.post("/palaver/v1/chat", json=MESSAGES),
            "REST stream": lambda: client.post("/palaver/v1/chat:stream", json=MESSAGES),
            "OpenAI": lambda: client.post("/v1/chat/completions", json=openai),
            "OpenAI stream": lambda: client.post("/v1/chat/completions", json=openai),
            "gRPC": lambda: stub.Chat(stream_request().chat, metadata=metadata),
            "gRPC stream": lambda: read(stub.StreamChat(stream_request(), metadata=metadata)),
        }[transport]

        async def read(stream) -> None:
            async for _ in stream:
                pass

        async def leave() -> None:
            await call()

        task = asyncio.create_task(leave())
        await asyncio.sleep(0.3)  # it is under way: nobody tells a caller of an unary call when it has begun
        assert not task.done()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    ended = pair.wait_for(
        lambda: next((line for line in pair.events("call") if line["request_id"] == request_id), None),
        "the call goes on",
    )
    assert ended.get("reason") == "CANCELLED", ended
