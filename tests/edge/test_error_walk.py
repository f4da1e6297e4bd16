"""The error table, walked: each fault over gRPC, gRPC-Web, REST and OpenAI's protocol, streamed and not.

What each protocol must say of a reason stands in one place, ``rpc/errors.TABLE``; a row adds the fault and the field to
blame, by the contract's name and by OpenAI's. Nothing may end without words, and no words may tell of insides.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import json
import re
import signal
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2

from palaver.v1 import chat_service_pb2
from palaver_server.core.errors import Reason
from palaver_server.core.identity.issuing import create_key
from palaver_server.core.identity.key import Key
from palaver_server.core.identity.key_file import KeyFile
from palaver_server.core.identity.key_text import new_key_text
from palaver_server.rpc.errors import TABLE
from tests.edge.conftest import Pair

INSIDES = re.compile(
    r"Traceback|File \"|\.py\b|\bvllm\b|protobuf|pydantic|grpc[._]aio|0x[0-9a-f]{6}|/root|/tmp|/usr|envoy|upstream|"
    r"site-packages|Exception|line \d+, in",
    re.IGNORECASE,
)


def said(text: Any = "one two three", role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": text}


@dataclasses.dataclass(frozen=True)
class Fault:
    """One thing that is wrong, in the words of both kinds of protocol."""

    name: str
    reason: Reason
    typed: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of a ``ChatRequest`` in JSON."""
    openai: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of a body of OpenAI's."""
    field: str | None = None
    param: str | None = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    raw: bytes | None = None
    """Sent as it is, in place of any request."""


def option(name: str, value: Any, param: str | None = None, **more: Any) -> Fault:
    """A knob out of its range; OpenAI's name is the contract's unless given."""
    spelled = param or name
    return Fault(
        f"{name} {str(value)[:24]}",
        Reason.INVALID_FIELD,
        {"options": {name: value, **more}},
        {spelled: value, **more},
        f"options.{name}",
        spelled,
    )


def turns(name: str, typed: list[dict[str, Any]], openai: list[dict[str, Any]], blamed: str, param: str = "") -> Fault:
    return Fault(name, Reason.INVALID_FIELD, {"messages": typed}, {"messages": openai}, blamed, param or blamed)


USER = {"role": "ROLE_USER", "content": [{"text": "one two three"}]}
BOT = {"role": "ROLE_ASSISTANT", "content": [{"text": "yes"}]}

FAULTS = [
    option("temperature", 3),
    option("temperature", -0.5),
    option("top_p", 1.5),
    option("top_p", -1),
    option("top_k", -5),
    option("min_p", 2),
    option("min_p", -0.1),
    option("presence_penalty", 2.5),
    option("presence_penalty", -2.5),
    option("frequency_penalty", 2.5),
    option("frequency_penalty", -2.5),
    option("repetition_penalty", 0),
    option("repetition_penalty", 2.5),
    option("max_output_tokens", 0, "max_completion_tokens"),
    option("max_output_tokens", -1, "max_tokens"),
    option("max_output_tokens", 10**6, "max_completion_tokens"),
    option("stop_sequences", ["x"] * 65, "stop"),
    option("choice_count", 0, "n"),
    option("choice_count", 129, "n"),
    option("min_output_tokens", -1, "min_tokens"),
    option("stop_token_ids", [1] * 129),
    option("allowed_token_ids", [1] * 65537),
    option("bad_words", ["x"] * 129),
    option("prompt_top_logprobs", 21, "prompt_logprobs"),
    option("prompt_top_logprobs", -1, "prompt_logprobs"),
    Fault(
        "an empty stop sequence",
        Reason.INVALID_FIELD,
        {"options": {"stop_sequences": ["a", ""]}},
        {"stop": ["a", ""]},
        "options.stop_sequences[1]",
        "stop[1]",
    ),
    Fault(
        "more alternatives than there are",
        Reason.INVALID_FIELD,
        {"options": {"top_logprobs": 21}},
        {"logprobs": True, "top_logprobs": 21},
        "options.top_logprobs",
        "top_logprobs",
    ),
    Fault(
        "the fewest above the most",
        Reason.INVALID_FIELD,
        {"options": {"min_output_tokens": 5, "max_output_tokens": 2}},
        {"min_tokens": 5, "max_tokens": 2},
        "options.min_output_tokens",
        "min_tokens",
    ),
    Fault(
        "a bias out of its range",
        Reason.INVALID_FIELD,
        {"options": {"logit_bias": {"7": 101}}},
        {"logit_bias": {"7": 101}},
        "options.logit_bias[7]",
        "logit_bias[7]",
    ),
    Fault("a long user", Reason.INVALID_FIELD, {"user_id": "u" * 257}, {"user": "u" * 257}, "user_id", "user"),
    Fault("a priority", Reason.INVALID_FIELD, {"priority": 101}, {"priority": 101}, "priority", "priority"),
    Fault("a long model name", Reason.INVALID_FIELD, {"model": "m" * 513}, {"model": "m" * 513}, "model", "model"),
    Fault("another model", Reason.MODEL_NOT_FOUND, {"model": "other"}, {"model": "other"}, "model", "model"),
    Fault(
        "a label that is none",
        Reason.INVALID_FIELD,
        {"labels": {"A b": "x"}},
        {"metadata": {"A b": "x"}},
        "labels[A b]",
        "metadata[A b]",
    ),
    turns("no messages", [], [], "messages"),
    turns("ends with an answer", [USER, BOT], [said(), said("yes", "assistant")], "messages"),
    turns("ends with a rule", [{**USER, "role": "ROLE_SYSTEM"}], [said("obey", "system")], "messages"),
    turns("nothing said", [{"role": "ROLE_USER"}], [{"role": "user"}], "messages[0].content"),
    turns(
        "too many parts",
        [{**USER, "content": [{"text": ""}] * 1025}],
        [said([{"type": "text", "text": ""}] * 1025)],
        "messages[0].content",
    ),
    turns("a long name", [{**USER, "name": "n" * 65}], [{**said(), "name": "n" * 65}], "messages[0].name"),
    turns(
        "thoughts of a user", [{**USER, "reasoning": "hm"}], [{**said(), "reasoning": "hm"}], "messages[0].reasoning"
    ),
    Fault(
        "what needs a model",
        Reason.FIELD_NOT_SUPPORTED,
        {"options": {"ignore_eos": True}},
        {"ignore_eos": True},
        "options.ignore_eos",
        "ignore_eos",
    ),
    Fault("no request at all", Reason.MALFORMED_REQUEST, raw=b"\xff{"),
    Fault(
        "a conversation that is too long",
        Reason.PROMPT_TOO_LONG,
        {"messages": [{"role": "ROLE_USER", "content": [{"text": "word " * 9000}]}]},
        {"messages": [said("word " * 9000)]},
        "messages",
        "messages",
    ),
]
"""Of a server that is well."""

FULL = Fault("full", Reason.SERVER_OVERLOADED)
LOADING = Fault("loading", Reason.MODEL_LOADING)
DRAINING = Fault("draining", Reason.SERVER_DRAINING)
DEAD = Fault("dead", Reason.ENGINE_UNAVAILABLE)
GAVE_UP = Fault("gave up", Reason.GENERATION_FAILED)
LATE = Fault("late", Reason.DEADLINE_EXCEEDED, headers={"grpc-timeout": "1500m"})
KEY_MISSING = Fault("no key", Reason.KEY_MISSING)
KEY_MALFORMED = Fault("no key of ours", Reason.KEY_MALFORMED, headers={"x-api-key": "sk-something"})
# These need a key, or one that nobody else has shown.
KEY_UNKNOWN = Fault("an invented key", Reason.KEY_UNKNOWN)
KEY_EXPIRED = Fault("an expired key", Reason.KEY_EXPIRED)
KEY_REVOKED = Fault("a revoked key", Reason.KEY_REVOKED)
METHOD_NOT_ALLOWED = Fault("a key for other methods", Reason.METHOD_NOT_ALLOWED)
MODEL_NOT_ALLOWED = Fault("a key for other models", Reason.MODEL_NOT_ALLOWED, field="model", param="model")
RATE_LIMITED = Fault("a key that is used up", Reason.RATE_LIMITED)
GUESSING = Fault("wrong keys without end", Reason.TOO_MANY_FAILED_ATTEMPTS)
KEY_FAULTS = [
    *(KEY_MISSING, KEY_MALFORMED, KEY_UNKNOWN, KEY_EXPIRED, KEY_REVOKED),
    *(METHOD_NOT_ALLOWED, MODEL_NOT_ALLOWED, RATE_LIMITED, GUESSING),
]
WALKED = [*FAULTS, *KEY_FAULTS, FULL, LOADING, DRAINING, DEAD, GAVE_UP, LATE]

NOT_WALKED = {
    Reason.METHOD_NOT_FOUND: "the edge routes the paths that exist, and says 404 itself (test_bad_input.py)",
    Reason.METHOD_NOT_SUPPORTED: "every method of the contract is served",
    Reason.DEADLINE_TOO_SHORT: "a race over HTTP: Envoy may end so short a call first; walked over gRPC below",
    Reason.CANCELLED: "nobody is left to be told (test_leaving.py)",
    Reason.INTERNAL: "only a fault of ours leads to it; its shape is shown in tests/rpc",
}
"""Why no call over every protocol can meet these."""


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


async def over_grpc(pair: Pair, fault: Fault, *, streamed: bool) -> Told:
    method = "/palaver.v1.ChatService/" + ("StreamChat" if streamed else "Chat")
    metadata = list(fault.headers.items())
    data = packed_request(fault, streamed=streamed)
    async with pair.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            if streamed:
                _ = [message async for message in channel.unary_stream(method)(data, metadata=metadata)]
            else:
                await channel.unary_unary(method)(data, metadata=metadata)
    trailers = dict(caught.value.trailing_metadata() or ())
    assert "grpc-status-details-bin" in trailers, (fault.name, caught.value)
    assert "x-palaver-body" not in trailers
    told = from_status(status_pb2.Status.FromString(trailers["grpc-status-details-bin"]))
    assert told.code is caught.value.code()
    told.text += caught.value.details() or ""
    return told


async def over_grpc_web(pair: Pair, fault: Fault, *, streamed: bool) -> Told:
    data = packed_request(fault, streamed=streamed)
    async with pair.client() as client:
        answer = await client.post(
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


async def over_rest(pair: Pair, fault: Fault, *, streamed: bool) -> Told:
    async with pair.client() as client:
        answer = await client.post(
            "/palaver/v1/chat" + (":stream" if streamed else ""), **json_content(typed_body(fault), fault)
        )
    document = answer.json() if answer.status_code != 200 else last_event(answer)["error"]
    told = from_status(json_format.ParseDict(document, status_pb2.Status()))
    return with_http(told, answer)


async def over_openai(pair: Pair, fault: Fault, *, streamed: bool) -> Told:
    async with pair.client() as client:
        answer = await client.post("/v1/chat/completions", **json_content(openai_body(fault, streamed=streamed), fault))
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


async def step(pair: Pair, fault: Fault, name: str, *, streamed: bool, **options: Any) -> list[str]:
    """One fault by one call: what is not as it should be."""
    told = await TRANSPORTS[name](pair, fault, streamed=streamed)
    in_stream = streamed and options.get("in_stream", False)
    found = differences(fault, told, in_stream=in_stream)
    if not in_stream and bool(told.retry_seconds) != options.get("waits", False):
        found.append(f"the time to wait is {told.retry_seconds}")
    return [f"{fault.name}, {name}, {'streamed' if streamed else 'whole'}: {what}" for what in found]


async def walk(pair: Pair, faults: list[Fault], **options: Any) -> list[str]:
    """Each fault by every call, one after the other."""
    return [
        wrong
        for fault in faults
        for name, streamed in CALLS
        for wrong in await step(pair, fault, name, streamed=streamed, **options)
    ]


def test_every_reason_is_walked_or_cannot_be_met():
    walked = {fault.reason for fault in WALKED}
    assert walked | set(NOT_WALKED) == set(Reason)
    assert not walked & set(NOT_WALKED)


async def test_every_fault_is_told_alike_over_every_protocol(pair):
    assert len(FAULTS) >= 40
    assert await walk(pair, FAULTS) == []
    async with pair.client() as client:  # and the server serves on
        assert (await client.post("/v1/chat/completions", json={"messages": [said()]})).status_code == 200


@contextlib.asynccontextmanager
async def occupied(pair: Pair) -> AsyncIterator[None]:
    """Hold the only place that there is."""
    async with pair.client() as client:
        body = openai_body(Fault("", Reason.INTERNAL), streamed=True)
        async with client.stream("POST", "/v1/chat/completions", json=body) as held:
            chunks = held.aiter_bytes()  # kept: when it is collected, httpx closes the answer
            await anext(chunks)
            yield
            await chunks.aclose()


async def test_a_full_server_tells_when_to_come_again(start_pair):
    pair = start_pair(
        "--max-concurrent-requests", "1", "--max-queued-requests", "0", "--scripted-first", "3600", "--grace", "0"
    )
    async with occupied(pair):
        assert await walk(pair, [FULL], waits=True) == []


async def test_a_loading_server_tells_when_to_come_again(start_pair):
    pair = start_pair("--scripted-load", "3600", wait_for="edge listening")
    assert await walk(pair, [LOADING], waits=True) == []


async def test_a_failure_in_the_middle_is_told_and_no_stream_just_ends(start_pair):
    pair = start_pair("--scripted-tokens", "9", "--scripted-fail-after", "3")
    assert await walk(pair, [GAVE_UP], in_stream=True) == []


def new_key(state_dir: Path, **rights: Any) -> str:
    """A key's text; `palaver keys` is shown to do the same in test_keys.py."""
    record = {"client": "acme", "requests_per_minute": "unlimited", **rights}

    def make(key_id: str, now: datetime, secret: Any) -> Key:
        return Key.model_validate({"id": key_id, "created_at": now, "secrets": (secret,), **record})

    return create_key(KeyFile(state_dir / "keys.json"), make).text


def with_key(fault: Fault, text: str) -> Fault:
    return dataclasses.replace(fault, headers={"x-api-key": text})


async def test_every_refusal_of_a_key_is_told_alike_over_every_protocol(start_pair, tmp_path_factory):
    state_dir = tmp_path_factory.mktemp("s")
    then = datetime.now(UTC) - timedelta(hours=1)
    used_up = new_key(state_dir, requests_per_minute=1)
    faults = [
        KEY_MISSING,
        KEY_MALFORMED,
        with_key(KEY_UNKNOWN, new_key_text()),
        with_key(KEY_EXPIRED, new_key(state_dir, expires_at=then)),
        with_key(KEY_REVOKED, new_key(state_dir, revoked_at=then)),
        with_key(METHOD_NOT_ALLOWED, new_key(state_dir, methods=["palaver.v1.ChatService/CountTokens"])),
        with_key(MODEL_NOT_ALLOWED, new_key(state_dir, models=["another"])),
    ]
    pair = start_pair("--max-failed-attempts", "1000", state_dir=state_dir)
    assert await walk(pair, faults) == []
    async with pair.client() as client:
        answer = await client.post(
            "/palaver/v1/chat", **json_content(typed_body(RATE_LIMITED), with_key(RATE_LIMITED, used_up))
        )
    assert answer.status_code == 200
    assert await walk(pair, [with_key(RATE_LIMITED, used_up)], waits=True) == []


async def test_whoever_guesses_keys_is_told_when_to_come_again(start_pair, tmp_path_factory):
    state_dir = tmp_path_factory.mktemp("s")
    new_key(state_dir)
    pair = start_pair("--max-failed-attempts", "1", state_dir=state_dir)
    guess = with_key(GUESSING, new_key_text())
    assert (await over_rest(pair, guess, streamed=False)).reason == "KEY_UNKNOWN"
    assert await walk(pair, [guess], waits=True) == []


class Acquainted:
    """A pair by connections that were opened before: a draining one soon takes no new ones."""

    def __init__(self, clients: list[httpx.AsyncClient], channels: list[grpc.aio.Channel]) -> None:
        self._clients, self._channels = clients, channels

    def client(self) -> Any:
        return contextlib.aclosing(self._clients.pop())

    def channel(self) -> grpc.aio.Channel:
        return self._channels.pop()


async def acquainted(pair: Pair) -> Any:
    clients, channels = [pair.client() for _ in range(6)], [pair.channel() for _ in range(2)]
    for client in clients:
        await client.get("/health")
    for channel in channels:
        await channel.channel_ready()
    return Acquainted(clients, channels)


async def test_a_draining_server_tells_when_to_come_again(start_pair):
    pair = start_pair("--max-concurrent-requests", "1", "--scripted-first", "3600", "--grace", "600")
    async with occupied(pair):
        known = await acquainted(pair)
        pair.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(pair.event, "stopping")
        assert await walk(known, [DRAINING], waits=True) == []


@pytest.mark.parametrize("streamed", [True, pytest.param(False, marks=pytest.mark.thorough)])
async def test_an_engine_that_dies_is_told_and_no_stream_just_ends(start_pair, streamed):
    for name in TRANSPORTS:  # one death a pair
        pair = start_pair("--scripted-tokens", "9", "--scripted-die-after", "3")
        assert await step(pair, DEAD, name, streamed=streamed, in_stream=True, waits=True) == []


async def test_too_little_time_is_told_before_any_work(pair):
    hasty = Fault("hasty", Reason.DEADLINE_TOO_SHORT, {"options": {"stop_before_deadline": True}})
    async with pair.channel() as channel:
        data = packed_request(hasty, streamed=False)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/palaver.v1.ChatService/Chat")(data, metadata=[("grpc-timeout", "100m")])
    trailers = dict(caught.value.trailing_metadata() or ())
    told = from_status(status_pb2.Status.FromString(trailers["grpc-status-details-bin"]))
    assert differences(hasty, told) == []


async def test_a_deadline_in_the_middle_is_told(start_pair):
    pair = start_pair("--scripted-interval", "3600")
    for name in ("rest", "openai"):
        for streamed in (False, True):
            told = await TRANSPORTS[name](pair, LATE, streamed=streamed)
            assert differences(LATE, told, in_stream=streamed) == []
