"""One fault by one call, over gRPC, gRPC-Web, REST and OpenAI's protocol: what the caller is told.

What each protocol must say of a reason stands in one place, ``rpc/errors.TABLE``. Nothing may end without words, and no
words may tell of insides.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import itertools
import json
import re
import struct
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2

from palaver.v1 import chat_service_pb2
from palaver_server.rpc.errors import TABLE
from tests.edge.conftest import Pair
from tests.edge.faults import USER, Fault, said

INSIDES = re.compile(
    r"Traceback|File \"|\.py\b|\bvllm\b|protobuf|pydantic|grpc[._]aio|0x[0-9a-f]{6}|/root|/tmp|/usr|envoy|upstream|"
    r"site-packages|Exception|line \d+, in",
    re.IGNORECASE,
)


@dataclasses.dataclass
class Told:
    """What a caller was told, in one protocol."""

    code: grpc.StatusCode | None = None
    http_status: int | None = None
    reason: str | None = None
    field: str | None = None
    openai: dict[str, Any] | None = None
    retry_seconds: float | None = None
    request_id: str | None = None
    text: str = ""
    """Everything said, to look for what should not be."""


@dataclasses.dataclass
class Caller:
    """Connections to one pair, for every protocol."""

    http: httpx.AsyncClient
    channel: grpc.aio.Channel


@contextlib.asynccontextmanager
async def caller(pair: Pair) -> AsyncIterator[Caller]:
    """Connect by HTTP/1.1 and by gRPC; the first call opens the connections."""
    async with pair.client() as http, pair.channel() as channel:
        yield Caller(http, channel)


def typed_body(fault: Fault) -> dict[str, Any]:
    return {"messages": [USER], **fault.typed}


def openai_body(fault: Fault, *, streamed: bool) -> dict[str, Any]:
    return {"messages": [said()], **fault.openai, **({"stream": True} if streamed else {})}


def json_content(body: dict[str, Any], fault: Fault) -> dict[str, Any]:
    """What httpx shall send."""
    data = json.dumps(body).encode() if fault.raw is None else fault.raw
    return {"content": data, "headers": {"content-type": "application/json", **fault.headers}}


def from_status(status: status_pb2.Status) -> Told:
    told = Told(text=str(status))
    told.code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    for packed in status.details:
        info, blamed, retry = (
            error_details_pb2.ErrorInfo(),
            error_details_pb2.BadRequest(),
            error_details_pb2.RetryInfo(),
        )
        if packed.Unpack(info):
            assert info.domain == "palaver.v1"
            told.reason, told.request_id = info.reason, info.metadata["request_id"]
        elif packed.Unpack(blamed):
            told.field = blamed.field_violations[0].field
        elif packed.Unpack(retry):
            told.retry_seconds = retry.retry_delay.ToMilliseconds() / 1000
    return told


def packed_request(fault: Fault, *, streamed: bool) -> bytes:
    if fault.raw is not None:
        return fault.raw
    chat = json_format.ParseDict(typed_body(fault), chat_service_pb2.ChatRequest())
    return (chat_service_pb2.StreamChatRequest(chat=chat) if streamed else chat).SerializeToString()


async def over_grpc(via: Caller, fault: Fault, *, streamed: bool) -> Told:
    method = "/palaver.v1.ChatService/" + ("StreamChat" if streamed else "Chat")
    metadata = list(fault.headers.items())
    data = packed_request(fault, streamed=streamed)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        if streamed:
            _ = [message async for message in via.channel.unary_stream(method)(data, metadata=metadata)]
        else:
            await via.channel.unary_unary(method)(data, metadata=metadata)
    trailers = dict(caught.value.trailing_metadata() or ())
    assert "grpc-status-details-bin" in trailers, (fault.name, caught.value)
    assert "x-palaver-body" not in trailers
    told = from_status(status_pb2.Status.FromString(trailers["grpc-status-details-bin"]))
    assert told.code is caught.value.code()
    told.text += caught.value.details() or ""
    return told


async def over_grpc_web(via: Caller, fault: Fault, *, streamed: bool) -> Told:
    data = packed_request(fault, streamed=streamed)
    answer = await via.http.post(
        "/palaver.v1.ChatService/" + ("StreamChat" if streamed else "Chat"),
        content=struct.pack(">BI", 0, len(data)) + data,
        headers={"content-type": "application/grpc-web+proto", "x-grpc-web": "1", **fault.headers},
    )
    trailers = dict(answer.headers)
    body = answer.content
    while body:
        flags, length = struct.unpack(">BI", body[:5])
        if flags & 0x80:
            lines = body[5 : 5 + length].decode().split("\r\n")
            pairs = (line.partition(":") for line in lines if line)
            trailers |= {key.strip().lower(): value.strip() for key, _, value in pairs}
        body = body[5 + length :]
    assert "grpc-status-details-bin" in trailers, (fault.name, trailers)
    packed = trailers["grpc-status-details-bin"]
    told = from_status(status_pb2.Status.FromString(base64.b64decode(packed + "=" * (-len(packed) % 4))))
    assert int(trailers["grpc-status"]) == told.code.value[0]
    assert "x-palaver-body" not in trailers
    return told


async def over_rest(via: Caller, fault: Fault, *, streamed: bool) -> Told:
    answer = await via.http.post(
        "/palaver/v1/chat" + (":stream" if streamed else ""), **json_content(typed_body(fault), fault)
    )
    document = answer.json() if answer.status_code != 200 else last_event(answer)["error"]
    told = from_status(json_format.ParseDict(document, status_pb2.Status()))
    return with_http(told, answer)


async def over_openai(via: Caller, fault: Fault, *, streamed: bool) -> Told:
    answer = await via.http.post("/v1/chat/completions", **json_content(openai_body(fault, streamed=streamed), fault))
    document = answer.json() if answer.status_code != 200 else last_event(answer)
    assert list(document) == ["error"], document
    assert list(document["error"]) == ["message", "type", "param", "code"]
    told = with_http(Told(openai=document["error"]), answer)
    told.request_id = answer.headers["x-request-id"]
    return told


def last_event(answer: httpx.Response) -> Any:
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
    blocks = [block for block in answer.text.split("\n\n") if block.startswith("data: ")]
    assert blocks[-1] != "data: [DONE]", "the stream ended as if nothing had happened"
    return json.loads(blocks[-1].removeprefix("data: "))


def with_http(told: Told, answer: httpx.Response) -> Told:
    assert answer.headers["x-request-id"]
    assert "x-palaver-body" not in answer.headers
    told.http_status = answer.status_code
    told.text += answer.text
    if (header := answer.headers.get("retry-after")) is not None:
        told.retry_seconds = float(header)
    return told


TRANSPORTS = {"grpc": over_grpc, "grpc-web": over_grpc_web, "rest": over_rest, "openai": over_openai}
CALLS = [(name, streamed) for name in TRANSPORTS for streamed in (False, True)]


def differences(fault: Fault, told: Told, *, in_stream: bool = False) -> list[str]:
    """What is not as the table says; ``in_stream``: the answer had begun, so its HTTP status was out."""
    expected = TABLE[fault.reason]
    found: list[str] = []

    def compare(what: str, is_value: object, should_be: object) -> None:
        if is_value != should_be:
            found.append(f"{what} is {is_value!r}, not {should_be!r}")

    if told.openai is None:
        compare("the code", told.code, expected.code)
        compare("the reason", told.reason, fault.reason.value)
        compare("the field", (told.field or "").removeprefix("chat.") or None, fault.field)
    else:
        compare("the type", told.openai["type"], expected.openai_type)
        compare("the code", told.openai["code"], expected.openai_code)
        compare("the param", told.openai["param"], fault.param)
    if told.http_status is not None:
        compare("the HTTP status", told.http_status, 200 if in_stream else expected.http_status)
    if not told.request_id:
        found.append("there is no request id")
    if inside := INSIDES.search(told.text):
        found.append(f"it tells {inside[0]!r}: {told.text[:300]}")
    return found


async def step(via: Caller, fault: Fault, name: str, *, streamed: bool, **options: Any) -> list[str]:
    """One fault by one call: what is not as it should be."""
    told = await TRANSPORTS[name](via, fault, streamed=streamed)
    in_stream = streamed and options.get("in_stream", False)
    found = differences(fault, told, in_stream=in_stream)
    if not in_stream and bool(told.retry_seconds) != options.get("waits", False):
        found.append(f"the time to wait is {told.retry_seconds}")
    return [f"{fault.name}, {name}, {'streamed' if streamed else 'whole'}: {what}" for what in found]


async def walk(via: Caller, faults: Iterable[Fault], **options: Any) -> list[str]:
    """Each fault by every call, those of one fault together: what is not as it should be."""
    wrong: list[str] = []
    for fault in faults:
        steps = (step(via, fault, name, streamed=streamed, **options) for name, streamed in CALLS)
        wrong += itertools.chain.from_iterable(await asyncio.gather(*steps))
    return wrong
