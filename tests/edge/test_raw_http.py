"""Bytes that are no good HTTP: refused, nothing smuggled, and whoever else calls meanwhile is served."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import httpx
import pytest

from tests.edge.raw import Raw, raw, request

CHAT = "/palaver/v1/chat"
MESSAGES = {"messages": [{"role": "ROLE_USER", "content": [{"text": "hi"}]}]}
IMPATIENT = ("--edge-header-timeout", "2", "--edge-request-timeout", "4", "--edge-max-connections", "3")
"""Gives slow senders up soon, and takes few connections."""
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


async def together(calls: Mapping[str, Coroutine[Any, Any, Raw]]) -> dict[str, Raw]:
    """Every row's bytes at once, each on a connection of its own."""
    return dict(zip(calls, await asyncio.gather(*calls.values()), strict=True))


async def test_malformed_http_is_refused_and_smuggles_nothing(pair):
    answers = await together({what: raw(pair, [data]) for what, data, _ in RAW_HTTP1})
    for what, _, statuses in RAW_HTTP1:
        answer = answers[what]
        assert answer.status in statuses, (what, answer.data)
        assert answer.data.count(b"HTTP/1.1 ") == 1, (what, "a second answer would be to a smuggled request")
        assert b"root:" not in answer.data, what


async def test_who_asks_before_sending_a_body_is_told_to_go_on_or_refused_at_once(pair):
    body = b'{"messages": [{"role": "ROLE_USER", "content": [{"text": "hi"}]}]}'
    length = (f"Content-Length: {len(body)}", "Expect: 100-continue")
    good = request(f"POST {CHAT} HTTP/1.1", HOST, "Content-Type: application/json", *length)
    answer = await raw(pair, [good, body], pause=0.1)
    assert answer.data.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), answer.data
    length = ("Content-Length: 100000", "Expect: 100-continue")  # a short one would be waited for
    refused = await raw(pair, [request(f"POST {CHAT} HTTP/1.1", HOST, "Content-Type: text/plain", *length)])
    assert b"HTTP/1.1 415 " in refused.data


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


async def test_a_body_without_a_length_is_refused_where_none_belongs(pair):
    for path in ("/health", "/v1/models"):
        asked = PREFACE + get(1, path, flags=4) + frame(DATA, 1, 1, b"{}")
        answer = await raw(pair, [asked], alpn="h2")
        assert b"This method takes no body" in answer.data
        empty = PREFACE + get(1, path, flags=4) + frame(DATA, 1, 1)
        answer = await raw(pair, [empty], alpn="h2")
        assert b"scripted" in answer.data


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


async def test_http2_that_breaks_the_rules_hurts_its_own_connection_at_most(pair):
    async def beside(what: str, data: bytes) -> Raw:
        async with pair.client() as client:  # somebody else's call under way meanwhile
            other = asyncio.create_task(client.post("/palaver/v1/chat:stream", json=MESSAGES))
            answer = await raw(pair, [data], alpn="h2", seconds=2)
            assert (await other).status_code == 200, what
        return answer

    answers = await together({what: beside(what, make()) for what, make in HTTP2})
    assert not [what for what, answer in answers.items() if b"root:" in answer.data]
    assert pair.envoy().memory_info().rss < 250_000_000
    assert pair.process.poll() is None


@pytest.fixture(scope="module")
def impatient(start_pair_of_module):
    return start_pair_of_module(*IMPATIENT)


async def test_headers_that_come_slowly_are_given_up(impatient):
    answer = await raw(impatient, [b"GET /health HTTP/1.1\r\n", b"Host: loc", b"al", b"h"], pause=0.8)
    assert answer.status == 408 or (answer.is_closed and not answer.status), answer.data


async def test_a_body_that_comes_slowly_is_given_up(impatient):
    head = request(f"POST {CHAT} HTTP/1.1", HOST, "Content-Type: application/json", "Content-Length: 1000")
    answer = await raw(impatient, [head, b"{", b'"', b"m"], pause=0.5)
    assert answer.status == 408, answer.data
    assert b"REQUEST_TIMEOUT" in answer.data


def test_a_handshake_that_never_comes_is_given_up(impatient):
    with socket.create_connection(("127.0.0.1", impatient.port), 20) as plain:
        assert plain.recv(1000) == b""


def test_plain_http_on_the_tls_port_is_closed(pair):
    with socket.create_connection(("127.0.0.1", pair.port), 20) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP/1.1 200" not in plain.recv(1000)


def test_connections_that_call_nobody_end_sooner_where_they_are_all_taken(impatient):
    """A quarter of an hour is the rule; here nobody could come in for so long."""
    context = impatient.ssl_context
    with contextlib.ExitStack() as stack:
        idle = []
        for _ in range(3):
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", impatient.port), 30))
            idle.append(stack.enter_context(context.wrap_socket(plain, server_hostname="localhost")))
        assert idle[0].recv(1) == b""  # the others have more time again, now that there is room
        plain = stack.enter_context(socket.create_connection(("127.0.0.1", impatient.port), 30))
        late = stack.enter_context(context.wrap_socket(plain, server_hostname="localhost"))
        late.sendall(request("GET /health HTTP/1.1", HOST))
        assert b"200" in late.recv(1000)


def test_connections_beyond_the_bound_are_closed_and_the_others_served(impatient):
    context = impatient.ssl_context
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(8):
            with contextlib.suppress(OSError):
                plain = stack.enter_context(socket.create_connection(("127.0.0.1", impatient.port), 5))
                opened.append(stack.enter_context(context.wrap_socket(plain, server_hostname="localhost")))
        assert 2 <= len(opened) <= 3
        opened[0].sendall(request("GET /health HTTP/1.1", HOST))
        assert b"200" in opened[0].recv(1000)
        with httpx.Client(trust_env=False) as client:
            assert client.get(f"{impatient.status_url}/ready").status_code == 200, "probes are not counted"
