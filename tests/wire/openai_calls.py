"""Calls of OpenAI's protocol over gRPC, as the edge makes them: JSON bytes in, JSON or events out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import grpc
from google.api import httpbody_pb2

from palaver.v1 import openai_service_pb2_grpc


@dataclass
class Refusal:
    """What a caller over HTTP would see of an error."""

    code: str
    error: dict[str, Any]
    headers: dict[str, Any]


def asking(text: str = "hello big world", **fields: Any) -> dict[str, Any]:
    return {"model": "scripted", "messages": [{"role": "user", "content": text}], **fields}


def call(channel: grpc.aio.Channel, body: dict[str, Any] | bytes, **keywords: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    stub: Any = openai_service_pb2_grpc.OpenAIServiceStub(channel)
    return stub.CreateChatCompletion(httpbody_pb2.HttpBody(content_type="application/json", data=data), **keywords)


async def answer(channel: grpc.aio.Channel, body: dict[str, Any]) -> dict[str, Any]:
    """The document of an answer in one piece."""
    (message,) = [message async for message in call(channel, body)]
    assert message.content_type == "application/json"
    document: dict[str, Any] = json.loads(message.data)
    return document


async def text_of_events(channel: grpc.aio.Channel, body: dict[str, Any], **keywords: Any) -> str:
    messages = [message async for message in call(channel, {**body, "stream": True}, **keywords)]
    assert messages[0].content_type == "text/event-stream; charset=utf-8"
    return b"".join(message.data for message in messages).decode()


def events_of(text: str) -> list[Any]:
    """The events of a stream, comments left out; ``[DONE]`` as it stands."""
    assert text.endswith("\n\n")
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    return [data if (data := block[6:]) == "[DONE]" else json.loads(data) for block in blocks]


async def events(channel: grpc.aio.Channel, body: dict[str, Any], **keywords: Any) -> list[Any]:
    return events_of(await text_of_events(channel, body, **keywords))


async def refusal(channel: grpc.aio.Channel, body: dict[str, Any] | bytes) -> Refusal:
    try:
        async for _ in call(channel, body):
            pass
    except grpc.aio.AioRpcError as error:
        metadata = dict(error.trailing_metadata() or ())
        document = json.loads(metadata["x-palaver-body"])
        assert list(document) == ["error"]
        assert list(document["error"]) == ["message", "type", "param", "code"]
        return Refusal(error.code().name, document["error"], metadata)
    raise AssertionError(f"accepted: {body!r}")
