"""Requests that are wrong: an error in the shape of their path each time, and the pair serves on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import httpx

JSON = {"content-type": "application/json"}
CHAT = "/palaver/v1/chat"
OPENAI = "/v1/chat/completions"
MESSAGES = {"messages": [{"role": "ROLE_USER", "content": [{"text": "hi"}]}]}
GOOD = json.dumps(MESSAGES).encode()
GOOD_OPENAI = json.dumps({"model": "scripted", "messages": [{"role": "user", "content": "hi"}]}).encode()
LONG = b'{"a": "' + b"x" * (8 * 1024**2) + b'"}'
"""A little more than a request may have."""


def nested(depth: int) -> bytes:
    return b'{"messages": ' + b"[" * depth + b"]" * depth + b"}"


BODIES: list[tuple[str, str, bytes]] = [
    # what is wrong, the path, the body; 400 each
    ("nothing", CHAT, b""),
    ("nothing", OPENAI, b""),
    ("truncated", CHAT, GOOD[:-3]),
    ("truncated", OPENAI, GOOD_OPENAI[:-3]),
    ("truncated in a string", CHAT, b'{"messages": [{"role": "ROLE_US'),
    ("two documents", CHAT, GOOD + GOOD),
    ("two documents", OPENAI, GOOD_OPENAI + GOOD_OPENAI),
    ("a list", CHAT, b"[]"),
    ("a list", OPENAI, b"[]"),
    ("a string", CHAT, b'"hi"'),
    ("a string", OPENAI, b'"hi"'),
    ("null", OPENAI, b"null"),
    ("a number", CHAT, b"7"),
    ("an object for a list", CHAT, b'{"messages": {"role": "ROLE_USER"}}'),
    ("a string for a list", OPENAI, b'{"model": "scripted", "messages": "hi"}'),
    ("a string for a number", CHAT, GOOD[:-1] + b', "options": {"temperature": "hot"}}'),
    ("a string for a number", OPENAI, GOOD_OPENAI[:-1] + b', "temperature": "hot"}'),
    ("an unknown role", CHAT, b'{"messages": [{"role": "ROLE_KING", "content": [{"text": "hi"}]}]}'),
    ("an unknown role", OPENAI, b'{"model": "scripted", "messages": [{"role": "king", "content": "hi"}]}'),
    ("not a number", OPENAI, GOOD_OPENAI[:-1] + b', "temperature": NaN}'),
    ("infinity", CHAT, GOOD[:-1] + b', "options": {"temperature": "Infinity"}}'),
    ("a number beyond all bounds", CHAT, GOOD[:-1] + b', "options": {"max_output_tokens": 1e400}}'),
    ("a number beyond all bounds", OPENAI, GOOD_OPENAI[:-1] + b', "max_tokens": 1e400}'),
    ("nested 50 deep", CHAT, nested(50)),
    ("nested 5000 deep", CHAT, nested(5000)),
    ("nested 50 deep", OPENAI, b'{"model": "scripted", "messages": ' + b"[" * 50 + b"]" * 50 + b"}"),
    ("nested 100000 deep", OPENAI, b"[" * 100000 + b"]" * 100000),
    ("the same key twice", OPENAI, GOOD_OPENAI[:-1] + b', "model": "other"}'),
    ("an unknown field", OPENAI, GOOD_OPENAI[:-1] + b', "chat_template": "x"}'),
    ("bytes that are no text", CHAT, b"\xff\xfe\x00\x01" * 10),
    ("bytes that are no text", OPENAI, b'{"model": "\xff\xfe"}'),
    ("zero bytes", CHAT, b"\x00" * 100),
    (
        "half a pair of surrogates",
        OPENAI,
        b'{"model": "scripted", "messages": [{"role": "user", "content": "\\ud800"}]}',
    ),
    ("a form", OPENAI, b"model=scripted&messages=hi"),
    ("gzip without saying so", CHAT, b"\x1f\x8b\x08\x00" + b"\x00" * 20),
]


def assert_shape(path: str, status: int, headers: httpx.Headers, body: bytes) -> dict:
    """An error looks as its protocol's clients expect, and tells nothing of our insides."""
    assert headers["content-type"].startswith("application/json"), (status, body)
    assert headers["x-request-id"]
    document = json.loads(body)
    if path.startswith("/v1/"):
        assert set(document["error"]) == {"message", "type", "param", "code"}, document
        assert document["error"]["message"]
    else:
        assert set(document) <= {"code", "message", "details"}, document
        assert document["code"]
        assert any(detail.get("domain") == "palaver.v1" for detail in document["details"]), document
    for secret in (b"Traceback", b"upstream connect", b"/palaver_server/", b"Exception", b"upb_"):
        assert secret not in body
    return document


async def assert_all(rows: Iterable[Any], check: Callable[[Any], Awaitable[None]]) -> None:
    """Check every row, and name those that fail."""
    for row in rows:
        try:
            await check(row)
        except AssertionError as error:
            error.add_note(f"in the row {str(row)[:200]}")
            raise


async def test_a_bad_body_is_refused_in_the_shape_of_its_path(pair):
    async with pair.client() as client:

        async def check(row: tuple[str, str, bytes]) -> None:
            _, path, body = row
            answer = await client.post(path, content=body, headers=JSON)
            assert answer.status_code == 400, answer.text
            assert_shape(path, answer.status_code, answer.headers, answer.content)
            good = await client.post(CHAT, json=MESSAGES)
            assert good.status_code == 200, good.text

        await assert_all(BODIES, check)


REQUESTS: list[tuple[str, str, dict, bytes | None, int]] = [
    ("GET", CHAT, {}, None, 405),
    ("PUT", CHAT, JSON, GOOD, 405),
    ("DELETE", "/palaver/v1/models", {}, None, 405),
    ("POST", "/palaver/v1/models", JSON, b"{}", 405),
    ("PATCH", OPENAI, JSON, GOOD_OPENAI, 405),
    ("TRACE", OPENAI, {}, None, 405),
    ("GET", OPENAI, {}, None, 405),
    ("OPTIONS", CHAT, {}, None, 403),
    ("GET", "/", {}, None, 404),
    ("GET", "/palaver", {}, None, 404),
    ("GET", "/palaver/v1/", {}, None, 404),
    ("GET", "/palaver/v2/models", {}, None, 404),
    ("POST", "/palaver/v1/chat:fly", JSON, GOOD, 404),
    ("POST", "/palaver/v1/chat/", JSON, GOOD, 404),
    ("POST", "/v1/completions", JSON, b"{}", 404),
    ("POST", "/v1/embeddings", JSON, b"{}", 404),
    ("GET", "/v1/models/no/such/model", {}, None, 404),
    ("GET", "/palaver/v1/models/no%2Fsuch", {}, None, 404),
    ("GET", "/palaver.v1.ChatService/Chat", {}, None, 404),
    ("POST", "/palaver.v1.ChatService/Chat", JSON, GOOD, 404),
    ("POST", CHAT, {"content-type": "text/plain"}, GOOD, 415),
    ("POST", CHAT, {"content-type": "application/x-www-form-urlencoded"}, GOOD, 415),
    ("POST", CHAT, {}, GOOD, 415),
    ("POST", OPENAI, {"content-type": "multipart/form-data; boundary=x"}, GOOD_OPENAI, 415),
    ("POST", CHAT, JSON, LONG, 413),
    ("POST", OPENAI, JSON, LONG, 413),
    ("POST", CHAT, {**JSON, "x-big": "x" * 20_000}, GOOD, 431),
    ("GET", "/palaver/v1/models?x=" + "y" * 20_000, {}, None, 431),
    ("GET", "/palaver/v1/models/" + "y" * 600, {}, None, 400),
    ("GET", "/palaver/v1/models", JSON, b"{}", 400),
    ("GET", "/palaver/v1/models/scripted", {}, b"x", 400),
    ("GET", "/v1/models", JSON, b'{"model": "scripted"}', 400),
    ("GET", "/v1/models/scripted", {}, b"x", 400),
    ("GET", "/health", JSON, b"{}", 400),
    ("GET", CHAT, JSON, GOOD, 405),
    ("GET", "/v1/models?limit=3", {}, None, 400),
    ("POST", OPENAI + "?api-version=2", JSON, GOOD_OPENAI, 400),
    ("POST", CHAT + "?model=scripted", JSON, GOOD, 400),
]


async def test_a_request_that_nobody_serves_is_refused_in_the_shape_of_its_path(pair):
    async def check(row: tuple[str, str, dict[str, str], bytes | None, int]) -> None:
        method, path, headers, body, status = row
        async with pair.client() as client:
            answer = await client.request(method, path, headers=headers, content=body)
            assert answer.status_code == status, answer.text
            assert_shape(path, status, answer.headers, answer.content)
            good = await client.post(CHAT, json=MESSAGES)
            assert good.status_code == 200, good.text

    await assert_all(REQUESTS, check)


async def test_a_body_that_comes_in_pieces_is_refused_where_none_belongs(pair):
    async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    async with pair.client() as client:
        for path in ("/palaver/v1/models", "/v1/models", "/health"):
            answer = await client.request("GET", path, content=pieces(b"{", b"}"))
            document = assert_shape(path, answer.status_code, answer.headers, answer.content)
            assert answer.status_code == 400
            assert "This method takes no body" in str(document)
            assert (await client.request("GET", path, content=pieces())).status_code == 200  # declared, and empty


async def test_head_is_told_what_a_path_takes(pair):
    async with pair.client() as client:
        answer = await client.head(CHAT)
        assert (answer.status_code, answer.content) == (405, b"")
        assert answer.headers["allow"] == "POST, OPTIONS"
        assert (await client.delete("/v1/models")).headers["allow"] == "GET, HEAD, OPTIONS"


async def test_a_body_of_100_megabytes_is_refused_long_before_its_end(pair):
    sent = 0

    async def body():
        nonlocal sent
        for _ in range(1600):
            sent += 65536
            yield b"x" * 65536

    async with pair.client() as client:
        try:
            answer = await client.post(CHAT, content=body(), headers=JSON)
        except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
            pass  # the refusal was on its way while we still wrote
        else:
            assert answer.status_code == 413
    assert sent < 20_000_000
    assert pair.envoy().memory_info().rss < 200_000_000


async def test_more_streams_than_allowed_are_refused_one_by_one(start_pair):
    pair = start_pair("--edge-max-streams-per-connection", "4", "--scripted-interval", "0.2")
    async with pair.channel() as channel:
        from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, role_pb2  # noqa: PLC0415

        request = chat_service_pb2.ChatRequest()
        request.messages.add(role=role_pb2.ROLE_USER).content.add(text="a b c")
        stub = chat_service_pb2_grpc.ChatServiceStub(channel)
        # gRPC waits for a free stream: nobody fails, four run at a time.
        answers = await asyncio.gather(*(stub.Chat(request) for _ in range(12)))
        assert all(answer.choices for answer in answers)
