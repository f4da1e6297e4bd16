"""One word in everything that a caller can choose, over every transport."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import grpc
import httpx
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from palaver.v1 import chat_service_pb2, role_pb2, tool_pb2
from tests.edge.conftest import Pair


def chat_request(word: str, model: str = "") -> chat_service_pb2.ChatRequest:
    """The word as prompt, in a tool and its call, as stop string, user and label."""
    request = chat_service_pb2.ChatRequest(model=model, user_id=word, labels={f"l-{word}": word})
    request.messages.add(role=role_pb2.ROLE_SYSTEM).content.add(text=word)
    request.messages.add(role=role_pb2.ROLE_USER).content.add(text=f"{word} {word}")
    request.options.stop_sequences.append(word)
    return request


def with_tools(word: str) -> chat_service_pb2.ChatRequest:
    """Tools, and a call of one in the conversation, which is refused for how it ends."""
    request = chat_request(word)
    parameters = json.dumps({"type": "object", "properties": {word: {"type": "string"}}})
    request.tools.append(tool_pb2.Tool(name=f"t_{word}", description=word, parameters_json_schema=parameters))
    call = request.messages.add(role=role_pb2.ROLE_ASSISTANT).tool_calls.add(id=word, name=f"t_{word}")
    call.arguments_json = json.dumps({word: word})
    return request


def openai_body(word: str, **fields: Any) -> dict[str, Any]:
    message = {"role": "user", "content": word, "name": word}
    return {"messages": [message], "user": word, "metadata": {word: word}, "stop": [word], **fields}


def headers_of(word: str) -> dict[str, str]:
    """What no caller needs; the request id is one that we do not take."""
    return {
        "x-request-id": f"<{word}>",
        f"x-{word}": word,
        "user-agent": word,
        "tracestate": f"vendor={word}",
        "traceparent": f"00-{word}-01",
        "x-forwarded-for": word,
        "x-envoy-original-path": f"/{word}",
        "x-envoy-original-method": word,
        "referer": f"https://{word}/",
        "cookie": word,
    }


class Caller:
    """Says a word in every way.

    Args:
        pair: who is asked.
        key: a good one; without, most ways end at the door.
    """

    def __init__(self, pair: Pair, key: str) -> None:
        self._pair = pair
        self._key = key
        self._leaving = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._http = await self._leaving.enter_async_context(self._pair.client())
        self._edge = await self._leaving.enter_async_context(self._pair.channel())
        self._direct = await self._leaving.enter_async_context(self._pair.direct_channel())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leaving.aclose()

    @property
    def ways(self) -> tuple[Callable[[str], Awaitable[None]], ...]:
        return (
            *(self._unary_grpc, self._streamed_grpc, self._unknown_model, self._tools, self._unknown_method),
            *(self._reflection, self._wrong_key, self._grpc_web, self._rest, self._rest_stream, self._unknown_path),
            *(self._openai, self._openai_stream, self._unknown_openai_model, self._broken_json, self._odd_http),
        )

    def _metadata(self, word: str, key: str | None = None) -> list[tuple[str, str]]:
        return [*headers_of(word).items(), ("x-api-key", key or self._key)]

    async def _grpc(self, path: str, request: bytes, word: str, key: str | None = None) -> None:
        """Over the edge and straight to the server. What comes back is no matter."""
        for channel in (self._edge, self._direct):
            call = channel.unary_stream(path)(request, metadata=self._metadata(word, key))
            try:
                async for _ in call:
                    pass
            except grpc.aio.AioRpcError:
                pass

    async def _post(self, path: str, word: str, key: str | None = None, **options: Any) -> httpx.Response:
        headers = {**headers_of(word), "x-api-key": key or self._key, **options.pop("headers", {})}
        return await self._http.post(f"{path}?{word}={word}", headers=headers, **options)

    async def _unary_grpc(self, word: str) -> None:
        await self._grpc("/palaver.v1.ChatService/Chat", chat_request(word).SerializeToString(), word)

    async def _streamed_grpc(self, word: str) -> None:
        request = chat_service_pb2.StreamChatRequest(chat=chat_request(word))
        await self._grpc("/palaver.v1.ChatService/StreamChat", request.SerializeToString(), word)

    async def _unknown_model(self, word: str) -> None:
        await self._grpc("/palaver.v1.ChatService/Chat", chat_request(word, model=word).SerializeToString(), word)

    async def _tools(self, word: str) -> None:
        await self._grpc("/palaver.v1.ChatService/Chat", with_tools(word).SerializeToString(), word)

    async def _unknown_method(self, word: str) -> None:
        for path in (f"/{word}/{word}", f"/palaver.v1.ChatService/{word}", f"/palaver.v1.{word}/Chat"):
            await self._grpc(path, b"", word)

    async def _reflection(self, word: str) -> None:
        asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol=word, host=word)
        stub = reflection_pb2_grpc.ServerReflectionStub(self._edge)
        async for _ in stub.ServerReflectionInfo(iter([asked]), metadata=self._metadata(word)):
            pass

    async def _wrong_key(self, word: str) -> None:
        request = chat_request(word).SerializeToString()
        for key in (word, f"sk-{word}", f"pk_{word}"):
            await self._grpc("/palaver.v1.ChatService/Chat", request, word, key)
            await self._post("/v1/chat/completions", word, key, json=openai_body(word))
            await self._post("/palaver/v1/chat", word, headers={"authorization": f"Bearer {key}"}, json={})

    async def _grpc_web(self, word: str) -> None:
        message = chat_request(word, model=word).SerializeToString()
        frame = struct.pack(">BI", 0, len(message)) + message
        headers = {"content-type": "application/grpc-web+proto"}
        await self._post("/palaver.v1.ChatService/Chat", word, content=frame, headers=headers)

    async def _rest(self, word: str) -> None:
        body = {"messages": [{"role": "ROLE_USER", "content": [{"text": word}]}], "user_id": word}
        for fields in ({}, {"model": word}, {word: word}, {"options": {"stop_sequences": [word]}}, {"user_id": 7}):
            await self._post("/palaver/v1/chat", word, json={**body, **fields})

    async def _rest_stream(self, word: str) -> None:
        body = {"messages": [{"role": "ROLE_USER", "content": [{"text": word}]}], "labels": {f"l-{word}": word}}
        await self._post("/palaver/v1/chat:stream", word, json=body)

    async def _unknown_path(self, word: str) -> None:
        headers = {**headers_of(word), "x-api-key": self._key}
        for path in (f"/{word}", f"/v1/{word}", f"/v1/models/{word}", f"/palaver/v1/models/{word}"):
            await self._http.get(path, headers=headers)
            await self._http.post(path, headers=headers, json={word: word})

    async def _openai(self, word: str) -> None:
        await self._post("/v1/chat/completions", word, json=openai_body(word))
        await self._post("/v1/chat/completions", word, json={**openai_body(word), "metadata": None})

    async def _openai_stream(self, word: str) -> None:
        await self._post("/v1/chat/completions", word, json=openai_body(word, stream=True, metadata=None))

    async def _unknown_openai_model(self, word: str) -> None:
        tool = {"type": "function", "function": {"name": f"t_{word}", "description": word}}
        await self._post("/v1/chat/completions", word, json=openai_body(word, model=word, tools=[tool]))

    async def _broken_json(self, word: str) -> None:
        for path in ("/v1/chat/completions", "/palaver/v1/chat"):
            headers = {"content-type": "application/json"}
            await self._post(path, word, content=f'{{"{word}": {word}'.encode(), headers=headers)
            await self._post(path, word, content=word.encode(), headers={"content-type": f"text/{word}"})

    async def _odd_http(self, word: str) -> None:
        url = f"{self._pair.url}/{word}"
        curl = await asyncio.create_subprocess_exec(  # HTTP/2 allows any method
            *("curl", "--silent", "--http2", "--cacert", str(self._pair.ca), "--request", word.upper(), url),
            stdout=asyncio.subprocess.DEVNULL,
        )
        assert await curl.wait() == 0
        await self._http.options(
            "/v1/models", headers={"origin": f"https://{word}", "access-control-request-method": word}
        )
        await self._http.get("/v1/models", headers={**headers_of(word), "host": word, "x-api-key": self._key})
