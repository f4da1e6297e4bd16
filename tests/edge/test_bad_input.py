"""Bad input at the door: an error in the right shape each time, and the pair serves on.

Raw sockets where a client library would not send such a thing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import pytest

JSON = {"content-type": "application/json"}
CHAT = "/palaver/v1/chat"
OPENAI = "/v1/chat/completions"
MESSAGES = {"messages": [{"role": "ROLE_USER", "content": [{"text": "hi"}]}]}
GOOD = json.dumps(MESSAGES).encode()
GOOD_OPENAI = json.dumps({"model": "scripted", "messages": [{"role": "user", "content": "hi"}]}).encode()
PAIR_FLAGS = ("--max-request-bytes", "262144")
IMPATIENT = ("--edge-header-timeout", "2", "--edge-request-timeout", "4")


@pytest.fixture(scope="module")
def impatient(start_pair_of_module):
    """A pair that gives slow senders up soon."""
    return start_pair_of_module(*IMPATIENT)


@pytest.fixture(autouse=True)
async def serves_on(pair):
    """After each bad input a good call works, on a connection of its own."""
    yield
    async with pair.client() as client:
        answer = await client.post(CHAT, json=MESSAGES)
        assert answer.status_code == 200, answer.text
    assert pair.process.poll() is None
    assert pair.envoy().is_running()


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


@pytest.mark.parametrize("row", BODIES, ids=lambda row: f"{row[0]} to {row[1]}")
async def test_a_bad_body_is_refused_in_the_shape_of_its_path(pair, row):
    _, path, body = row
    async with pair.client() as client:
        answer = await client.post(path, content=body, headers=JSON)
    assert answer.status_code == 400, answer.text
    assert_shape(path, answer.status_code, answer.headers, answer.content)


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
    ("POST", CHAT, JSON, b'{"a": "' + b"x" * 300_000 + b'"}', 413),
    ("POST", OPENAI, JSON, b'{"a": "' + b"x" * 300_000 + b'"}', 413),
    ("POST", CHAT, {**JSON, "x-big": "x" * 20_000}, GOOD, 431),
    ("GET", "/palaver/v1/models?x=" + "y" * 20_000, {}, None, 431),
    ("GET", "/palaver/v1/models/" + "y" * 600, {}, None, 400),
]


@pytest.mark.parametrize("row", REQUESTS, ids=lambda row: f"{row[0]} {row[1][:40]} {row[4]}")
async def test_a_request_that_nobody_serves_is_refused_in_the_shape_of_its_path(pair, row):
    method, path, headers, body, status = row
    async with pair.client() as client:
        answer = await client.request(method, path, headers=headers, content=body)
    assert answer.status_code == status, answer.text
    if status != 431:  # refused before anybody looks at the path
        assert_shape(path, status, answer.headers, answer.content)


@dataclass
class Raw:
    """What a raw TLS connection brought back."""

    data: bytes
    is_closed: bool

    @property
    def status(self) -> int:
        return int(self.data.split(b" ", 2)[1]) if self.data.startswith(b"HTTP/1.1 ") else 0


async def raw(pair, *parts: bytes, alpn: str = "http/1.1", pause: float = 0.0, seconds: float = 15) -> Raw:
    """Send parts over TLS and read until the other side closes, or for so long."""
    return await asyncio.to_thread(_raw, pair, parts, alpn, pause, seconds)


def _raw(pair, parts: tuple[bytes, ...], alpn: str, pause: float, seconds: float) -> Raw:
    context = pair.ssl_context
    context.set_alpn_protocols([alpn])
    data = b""
    with (
        socket.create_connection(("127.0.0.1", pair.port), 15) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
            ends = time.monotonic() + seconds
            while (remaining := ends - time.monotonic()) > 0:
                # Once something came, what would follow it is a moment behind.
                connection.settimeout(min(0.5, remaining) if data else remaining)
                if not (chunk := connection.recv(65536)):
                    return Raw(data, is_closed=True)
                data += chunk
        except TimeoutError:
            pass
        except OSError:  # reset while we wrote or read
            return Raw(data, is_closed=True)
    return Raw(data, is_closed=False)


def request(*lines: str, body: bytes = b"") -> bytes:
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


HOST = "Host: localhost"
RAW_HTTP1: list[tuple[str, bytes, set[int]]] = [
    # what, the bytes, statuses that are right
    ("no HTTP at all", b"\x00\x01\x02\x03 nonsense\r\n\r\n", {400}),
    ("a space in the path", request("GET /palaver v1 HTTP/1.1", HOST), {400}),
    ("an invented method", request(f"BREW {CHAT} HTTP/1.1", HOST), {400}),
    ("no host", request("GET /health HTTP/1.1"), {400}),
    ("HTTP/1.0", request("GET /health HTTP/1.0", HOST), {426}),
    (
        "a length and chunks",
        request(
            f"POST {CHAT} HTTP/1.1",
            HOST,
            "Content-Length: 4",
            "Transfer-Encoding: chunked",
            body=b"0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n",
        ),
        {400},
    ),
    (
        "two lengths",
        request(f"POST {CHAT} HTTP/1.1", HOST, "Content-Length: 4", "Content-Length: 5", body=b"abcde"),
        {400},
    ),
    ("a negative length", request(f"POST {CHAT} HTTP/1.1", HOST, "Content-Length: -1"), {400}),
    (
        "chunked twice",
        request(f"POST {CHAT} HTTP/1.1", HOST, "Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
        {400, 501},
    ),
    (
        "an obscure coding",
        request(f"POST {CHAT} HTTP/1.1", HOST, "Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
        {400, 501},
    ),
    (
        "a chunk that is none",
        request(
            f"POST {CHAT} HTTP/1.1",
            HOST,
            "Content-Type: application/json",
            "Transfer-Encoding: chunked",
            body=b"zz\r\nabc\r\n",
        ),
        {400},
    ),
    ("a folded header", request("GET /health HTTP/1.1", HOST, "X-A: b", " c"), {200, 400}),
    ("a header without a name", request("GET /health HTTP/1.1", HOST, ": b"), {400}),
    ("a space before the colon", request("GET /health HTTP/1.1", HOST, "X-A : b"), {400}),
    (
        "a bare line feed smuggles a header",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: b\nX-Admin: 1\rz\r\n\r\n",
        {200, 400},
    ),
    ("a zero byte in a header", request("GET /health HTTP/1.1", HOST, "X-A: b\x00c"), {400}),
    ("500 headers", request("GET /health HTTP/1.1", HOST, *(f"X-{n}: {n}" for n in range(500))), {431}),
    (
        "upgrade to h2c",
        request(
            "GET /health HTTP/1.1",
            HOST,
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        ),
        {200, 403},
    ),
    ("a tunnel", request("CONNECT localhost:22 HTTP/1.1", HOST), {400, 403, 404, 405}),
    (
        "another's address as target",
        request("GET http://169.254.169.254/latest/meta-data HTTP/1.1", "Host: 169.254.169.254"),
        {404},
    ),
    (
        "dots up to another service",
        request("POST /palaver/v1/../../envoy.service.auth.v3.Authorization/Check HTTP/1.1", HOST, "Content-Length: 0"),
        {404},
    ),
    ("encoded dots", request("GET /palaver/v1/%2e%2e/%2e%2e/etc/passwd HTTP/1.1", HOST), {404}),
    ("encoded slashes", request("GET /v1/models/..%2f..%2f..%2fetc%2fpasswd HTTP/1.1", HOST), {404, 307}),
    ("double encoding", request("GET /palaver/v1/%252e%252e/admin HTTP/1.1", HOST), {404}),
    ("a zero byte in the path", request("GET /palaver/v1/models/a%00b HTTP/1.1", HOST), {400}),
    ("backslashes", request("GET /palaver\\v1\\..\\..\\admin HTTP/1.1", HOST), {400, 404}),
    ("a path that is no path", request("GET palaver/v1/models HTTP/1.1", HOST), {400, 404}),
]


@pytest.mark.parametrize("row", RAW_HTTP1, ids=lambda row: row[0])
async def test_malformed_http_is_refused_and_smuggles_nothing(pair, row):
    _, data, statuses = row
    answer = await raw(pair, data, seconds=4)
    assert answer.status in statuses, answer.data
    assert answer.data.count(b"HTTP/1.1 ") == 1, "a second answer would be to a smuggled request"
    assert b"root:" not in answer.data


async def test_headers_that_come_slowly_are_given_up(impatient):
    answer = await raw(impatient, b"GET /health HTTP/1.1\r\n", b"Host: loc", b"al", b"h", pause=1.2, seconds=15)
    assert answer.is_closed
    assert answer.status in {0, 408}


async def test_a_body_that_comes_slowly_is_given_up(impatient):
    head = request(f"POST {CHAT} HTTP/1.1", HOST, "Content-Type: application/json", "Content-Length: 1000")
    answer = await raw(impatient, head, b"{", b'"', b"m", pause=1.0, seconds=15)
    assert answer.is_closed or answer.status == 408
    assert answer.status == 408, answer.data
    assert b"REQUEST_TIMEOUT" in answer.data


def test_a_handshake_that_never_comes_is_given_up(impatient):
    with socket.create_connection(("127.0.0.1", impatient.port), 20) as plain:
        assert plain.recv(1000) == b""


def test_plain_http_on_the_tls_port_is_closed(pair):
    with socket.create_connection(("127.0.0.1", pair.port), 20) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP/1.1 200" not in plain.recv(1000)


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


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One HTTP/2 frame (RFC 9113, section 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9


def literal(name: str, value: str) -> bytes:
    """A header as a literal without index (RFC 7541, section 6.2.2), shorter than 127 bytes."""
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def get(stream: int, path: str = "/health", *more: bytes, flags: int = 5) -> bytes:
    pseudo = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
    block = b"".join(literal(name, value) for name, value in pseudo) + b"".join(more)
    return frame(HEADERS, flags, stream, block)


HTTP2: list[tuple[str, Callable[[], bytes]]] = [
    ("no preface", lambda: b"GET / HTTP/1.1\r\n\r\n" * 3),
    ("a frame larger than agreed", lambda: PREFACE + frame(DATA, 0, 1, b"x" * 70_000)),
    ("data on a stream that never was", lambda: PREFACE + frame(DATA, 1, 99, b"x")),
    ("an even stream", lambda: PREFACE + get(2)),
    ("headers on stream zero", lambda: PREFACE + frame(HEADERS, 5, 0, b"\x82")),
    ("an index beyond the table", lambda: PREFACE + frame(HEADERS, 5, 1, b"\xff\xff\xff\x7f")),
    ("a window that overflows", lambda: PREFACE + frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 3),
    ("a window of nothing", lambda: PREFACE + frame(WINDOW, 0, 0, b"\x00\x00\x00\x00")),
    ("settings of seven bytes", lambda: PREFACE + frame(SETTINGS, 0, 0, b"1234567")),
    ("a ping of three bytes", lambda: PREFACE + frame(PING, 0, 0, b"abc")),
    ("headers without end, then data", lambda: PREFACE + get(1, flags=1) + frame(DATA, 1, 1, b"x")),
    (
        "continuations without end",
        lambda: PREFACE + get(1, flags=1) + frame(CONTINUATION, 0, 1, literal("a", "b") * 50) * 3000,
    ),
    (
        "opened and reset 3000 times",
        lambda: PREFACE + b"".join(get(n) + frame(RST, 0, n, b"\x00\x00\x00\x08") for n in range(1, 6001, 2)),
    ),
    ("10000 pings", lambda: PREFACE + frame(PING, 0, 0, b"abcdefgh") * 10_000),
    ("10000 settings", lambda: PREFACE + frame(SETTINGS, 0, 0, b"\x00\x03\x00\x00\x00\x64") * 10_000),
    ("20000 empty data frames", lambda: PREFACE + get(1, flags=4) + frame(DATA, 0, 1) * 20_000),
    ("upper case in a header's name", lambda: PREFACE + get(1, "/health", literal("X-Upper", "a"))),
    ("a connection header", lambda: PREFACE + get(1, "/health", literal("connection", "close"))),
    ("two paths", lambda: PREFACE + get(1, "/health", literal(":path", "/admin"))),
    ("a header name with a line end", lambda: PREFACE + get(1, "/health", literal("a\r\nb", "c"))),
    ("a header bomb", lambda: PREFACE + get(1, "/health", literal("x", "y" * 100) * 5000)[:16384]),
]


@pytest.mark.parametrize("row", HTTP2, ids=lambda row: row[0])
async def test_http2_that_breaks_the_rules_hurts_its_own_connection_at_most(pair, row):
    _, make = row
    async with pair.client() as client:  # somebody else's call under way meanwhile
        other = asyncio.create_task(client.post("/palaver/v1/chat:stream", json=MESSAGES))
        answer = await raw(pair, make(), alpn="h2", seconds=2)
        assert (await other).status_code == 200
    assert b"root:" not in answer.data
    assert pair.envoy().memory_info().rss < 250_000_000


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


def test_connections_beyond_the_bound_are_closed_and_the_others_served(start_pair):
    pair = start_pair("--edge-max-connections", "3")
    context = pair.ssl_context
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(8):
            with contextlib.suppress(OSError):
                plain = stack.enter_context(socket.create_connection(("127.0.0.1", pair.port), 5))
                opened.append(stack.enter_context(context.wrap_socket(plain, server_hostname="localhost")))
        assert 2 <= len(opened) <= 3
        opened[0].sendall(request("GET /health HTTP/1.1", HOST))
        assert b"200" in opened[0].recv(1000)
        with httpx.Client(trust_env=False) as client:
            assert client.get(f"{pair.status_url}/ready").status_code == 200, "probes are not counted"
