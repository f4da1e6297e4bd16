"""What curl makes of answers over either HTTP: those to HEAD, and those that come before the request's end."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.edge.conftest import Pair
from tests.edge.raw import raw, request

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")

VERSIONS = pytest.mark.parametrize("version", ["--http1.1", "--http2"])
GET_PATHS = ("/health", "/openapi.json", "/docs", "/v1/models", "/v1/models/scripted", "/palaver/v1/models")
SHORT = 65_536
"""The longest body that is waited for before its request is refused."""
OWN = frozenset({"date", "x-request-id"})
"""Headers that are no two answers' alike."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


async def curl(pair: Pair, version: str, *arguments: str) -> Answer:
    """Ask with curl; it must not complain."""
    process = await asyncio.create_subprocess_exec(
        *("curl", "--silent", "--show-error", "--noproxy", "*", "--cacert", str(pair.ca), version),
        *("--dump-header", "/dev/stderr", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    body, head = await process.communicate()
    assert process.returncode == 0, head.decode()
    first, *lines = head.decode().strip().splitlines()
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Answer(int(first.split()[1]), headers, body)


@VERSIONS
async def test_head_is_get_without_the_body(pair, version):
    for path in (*GET_PATHS, "/v1/models/nobody", "/palaver/v1/models/nobody", "/nowhere"):
        got = await curl(pair, version, pair.url + path)
        head = await curl(pair, version, "--head", "--output", "/dev/null", pair.url + path)
        assert head.status == got.status == (200 if path in GET_PATHS else 404), path
        assert {name: value for name, value in head.headers.items() if name not in OWN} == {
            name: value for name, value in got.headers.items() if name not in OWN
        }
        assert int(head.headers["content-length"]) == len(got.body) > 0


async def test_head_is_called_what_it_is_in_the_access_log(pair):
    async with pair.client() as client:
        request_id = (await client.head("/v1/models")).headers["x-request-id"]
        line = pair.edge_call(request_id)
    assert (line["http_method"], line["path"], line["status"], line["response_bytes"]) == ("HEAD", "/v1/models", 200, 0)


@VERSIONS
@pytest.mark.parametrize("length", [1, 2000, SHORT])
async def test_curl_is_told_why_a_request_with_a_short_body_is_refused(
    pair: Pair, tmp_path: Path, version: str, length: int
) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"x" * length)
    for method, path, kind, status in (
        ("POST", "/nowhere", "application/json", 404),
        ("POST", "/v1/chat/completions", "text/plain", 415),
        ("POST", "/palaver/v1/chat", "text/plain", 415),
        ("PUT", "/v1/chat/completions", "application/json", 405),
        ("POST", "/palaver/v1/chat", "application/json", 400),
        ("POST", "/v1/chat/completions", "application/json", 400),
    ):
        answer = await curl(
            *(pair, version, "--request", method, "--header", f"content-type: {kind}"),
            *("--data-binary", f"@{body}", pair.url + path),
        )
        assert answer.status == status, path
        assert answer.body


async def test_a_long_body_is_refused_before_it_has_come(pair):
    """Over HTTP/2 curl 7 shows no answer then, as deploy/README.md says."""
    head = ("POST /nowhere HTTP/1.1", "Host: localhost", "Content-Type: application/json")
    answer = await raw(pair, [request(*head, f"Content-Length: {SHORT + 1}", body=b"{")])
    assert answer.status == 404
