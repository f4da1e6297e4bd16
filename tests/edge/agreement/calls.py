"""Calls by every protocol, streamed and not, and what their caller saw of each: the one count that is beyond doubt."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
from google.rpc import error_details_pb2, status_pb2

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, role_pb2
from palaver_server.rpc.errors import TABLE
from tests.edge.conftest import Pair

GRPC, WEB, REST, OPENAI, DIRECT = "gRPC", "gRPC-Web", "REST", "OpenAI", "direct"
PROTOCOLS = (GRPC, WEB, REST, OPENAI, DIRECT)
"""All but the last come through Envoy."""
WAYS = tuple((protocol, is_streamed) for protocol in PROTOCOLS for is_streamed in (False, True))
STATUS_CODES = {row.http_status: row.code for row in TABLE.values()}
OPENAI_REASONS = {row.openai_code: reason for reason, row in reversed(TABLE.items()) if row.openai_code}
OPENAI_REASONS |= {"invalid_api_key": "KEY_UNKNOWN", "model_not_found": "MODEL_NOT_FOUND", None: "KEY_MISSING"}
"""Which of several reasons of one code the calls here have."""
RPCS = {False: ("palaver.v1.ChatService", "Chat"), True: ("palaver.v1.ChatService", "StreamChat")}
OPENAI_RPC = ("palaver.v1.OpenAIService", "CreateChatCompletion")
TRAILERS_FRAME = 0x80


@dataclass
class Seen:
    """One call, as its caller saw it."""

    request_id: str
    protocol: str
    is_streamed: bool
    has_deadline: bool = False
    code: grpc.StatusCode = grpc.StatusCode.OK
    reason: str | None = None
    http_status: int | None = None
    """Where the protocol has one."""
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    """As the answer told them at its end."""

    @property
    def is_by_edge(self) -> bool:
        return self.protocol != DIRECT

    @property
    def rpc(self) -> tuple[str, str]:
        """The gRPC service and method that it becomes."""
        return OPENAI_RPC if self.protocol == OPENAI else RPCS[self.is_streamed]

    def fail(self, code: grpc.StatusCode, reason: str | None) -> None:
        self.code, self.reason = code, reason

    def fail_with(self, status: status_pb2.Status) -> None:
        info = error_details_pb2.ErrorInfo()
        named = [detail for detail in status.details if detail.Unpack(info)]
        code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
        self.fail(code, info.reason if named else code.name)


@dataclass(frozen=True)
class Ask:
    """What is asked, and for whom."""

    text: str = "one two three"
    key: str | None = None
    model: str = ""
    temperature: float = 0
    seconds: float | None = None
    """The caller's deadline, where the protocol has one."""
    words: int | None = None
    """The most tokens of the answer."""


@dataclass
class Caller:
    """Calls one pair by every protocol."""

    pair: Pair
    http: httpx.AsyncClient
    channel: grpc.aio.Channel
    direct: grpc.aio.Channel
    default_model: str = "scripted"
    seen: list[Seen] = field(default_factory=list)

    async def call(self, way: tuple[str, bool], ask: Ask) -> Seen:
        """Call once. Who is cancelled in the middle is a caller that leaves."""
        protocol, is_streamed = way
        seen = Seen(f"call-{len(self.seen)}", protocol, is_streamed, ask.seconds is not None)
        self.seen.append(seen)
        speak = {GRPC: self._grpc, DIRECT: self._grpc, WEB: self._web, REST: self._rest, OPENAI: self._openai}[protocol]
        try:
            await speak(seen, ask)
        except asyncio.CancelledError:
            seen.fail(grpc.StatusCode.CANCELLED, "CANCELLED")
        return seen

    async def wrong_path(self) -> Seen:
        """Ask for what does not exist."""
        seen = Seen(f"call-{len(self.seen)}", REST, is_streamed=False)
        self.seen.append(seen)
        answer = await self.http.get("/nothing", headers=_headers(seen, Ask()))
        _read_rest_error(seen, answer.status_code, answer.content)
        return seen

    async def _grpc(self, seen: Seen, ask: Ask) -> None:
        stub = chat_service_pb2_grpc.ChatServiceStub(self.direct if seen.protocol == DIRECT else self.channel)
        metadata = tuple(_headers(seen, ask).items())
        try:
            if not seen.is_streamed:
                answer = await stub.Chat(_request(ask), metadata=metadata, timeout=ask.seconds)
                _note(seen, answer.usage)
                return
            asked = chat_service_pb2.StreamChatRequest(chat=_request(ask))
            async for event in stub.StreamChat(asked, metadata=metadata, timeout=ask.seconds):
                if event.HasField("finished"):
                    _note(seen, event.finished.usage)
        except grpc.aio.AioRpcError as error:
            details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
            if details is None:
                seen.fail(error.code(), error.code().name)
            else:
                seen.fail_with(status_pb2.Status.FromString(details))

    async def _web(self, seen: Seen, ask: Ask) -> None:
        name = "/".join(seen.rpc)
        message = chat_service_pb2.StreamChatRequest(chat=_request(ask)) if seen.is_streamed else _request(ask)
        data = message.SerializeToString()
        kind = {"content-type": "application/grpc-web+proto", "accept": "application/grpc-web+proto", "x-grpc-web": "1"}
        headers = _headers(seen, ask) | kind
        answer = await self.http.post(f"/{name}", content=struct.pack(">BI", 0, len(data)) + data, headers=headers)
        seen.http_status = answer.status_code
        trailers: Mapping[str, str] = answer.headers
        for flag, payload in _frames(answer.content):
            if flag & TRAILERS_FRAME:
                lines = (line.split(":", 1) for line in payload.decode().splitlines() if line)
                trailers = {key.strip().lower(): value.strip() for key, value in lines}
            elif not seen.is_streamed:
                _note(seen, chat_service_pb2.ChatResponse.FromString(payload).usage)
            elif (event := chat_service_pb2.StreamChatResponse.FromString(payload)).HasField("finished"):
                _note(seen, event.finished.usage)
        if trailers["grpc-status"] != "0":
            packed = trailers["grpc-status-details-bin"]
            seen.fail_with(status_pb2.Status.FromString(base64.b64decode(packed + "=" * (-len(packed) % 4))))

    async def _rest(self, seen: Seen, ask: Ask) -> None:
        options = {"temperature": ask.temperature} | ({"max_output_tokens": ask.words} if ask.words else {})
        message = {"role": "ROLE_USER", "content": [{"text": ask.text}]}
        body = {"model": ask.model, "messages": [message], "options": options}
        path = "/palaver/v1/chat:stream" if seen.is_streamed else "/palaver/v1/chat"
        answer = await self.http.post(path, json=body, headers=_headers(seen, ask))
        if answer.status_code != httpx.codes.OK:
            _read_rest_error(seen, answer.status_code, answer.content)
            return
        seen.http_status = answer.status_code
        async for event in _events(answer) if seen.is_streamed else _once(answer.json()):
            if "error" in event:
                _read_rest_error(seen, seen.http_status, json.dumps(event["error"]).encode())
            elif usage := event.get("usage") or event.get("finished", {}).get("usage"):
                seen.prompt_tokens, seen.output_tokens = usage["prompt_token_count"], usage["output_token_count"]

    async def _openai(self, seen: Seen, ask: Ask) -> None:
        body: dict[str, Any] = {"model": ask.model or self.default_model, "temperature": ask.temperature}
        body |= {"messages": [{"role": "user", "content": ask.text}], "stream": seen.is_streamed}
        body |= {"stream_options": {"include_usage": True}} if seen.is_streamed else {}
        body |= {"max_tokens": ask.words} if ask.words else {}
        answer = await self.http.post("/v1/chat/completions", json=body, headers=_headers(seen, ask))
        seen.http_status = answer.status_code
        is_stream = seen.is_streamed and answer.status_code == httpx.codes.OK
        async for event in _events(answer) if is_stream else _once(answer.json()):
            if "error" in event:
                reason = OPENAI_REASONS[event["error"]["code"]]
                seen.fail(TABLE[reason].code, reason)
            elif usage := event.get("usage"):
                seen.prompt_tokens, seen.output_tokens = usage["prompt_tokens"], usage["completion_tokens"]


def _headers(seen: Seen, ask: Ask) -> dict[str, str]:
    return {"x-request-id": seen.request_id} | ({"x-api-key": ask.key} if ask.key else {})


def _request(ask: Ask) -> chat_service_pb2.ChatRequest:
    request = chat_service_pb2.ChatRequest(model=ask.model)
    request.messages.add(role=role_pb2.ROLE_USER).content.add(text=ask.text)
    request.options.temperature = ask.temperature
    if ask.words:
        request.options.max_output_tokens = ask.words
    return request


def _note(seen: Seen, usage: Any) -> None:
    seen.prompt_tokens, seen.output_tokens = usage.prompt_token_count, usage.output_token_count


def _read_rest_error(seen: Seen, status: int, body: bytes) -> None:
    error = json.loads(body)
    seen.http_status = status
    code = next(code for code in grpc.StatusCode if code.value[0] == error["code"])
    seen.fail(code, next(detail["reason"] for detail in error["details"] if "reason" in detail))


def _frames(data: bytes) -> list[tuple[int, bytes]]:
    frames = []
    while data:
        flag, length = struct.unpack(">BI", data[:5])
        frames.append((flag, data[5 : 5 + length]))
        data = data[5 + length :]
    return frames


async def _events(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    for line in answer.text.splitlines():
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))


async def _once(document: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    yield document
