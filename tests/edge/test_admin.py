"""Envoy's admin socket and its plaintext port: what their owner can ask, and how much."""

from __future__ import annotations

import contextlib
import socket

import httpx
import pytest


@pytest.mark.parametrize(
    "path",
    [
        *("/logging?level=debug", "/logging?paths=http:trace", "/quitquitquit", "/runtime_modify?palaver.fine=0"),
        *("/reset_counters", "/cpuprofiler?enable=y", "/heapprofiler?enable=y", "/tap", "/", "/ready/../logging"),
    ],
)
async def test_envoys_log_cannot_be_made_to_tell_headers_nor_envoy_be_changed(pair, path):
    async with httpx.AsyncClient(transport=to_admin(pair), base_url="http://envoy", timeout=30) as admin:
        for method in ("GET", "POST"):
            assert (await admin.request(method, path)).status_code == 403


async def test_what_operators_look_at_is_there(pair):
    async with httpx.AsyncClient(transport=to_admin(pair), base_url="http://envoy", timeout=30) as admin:
        for path in ("/ready", "/stats?filter=ssl", "/clusters", "/certs", "/server_info", "/config_dump"):
            assert (await admin.get(path)).status_code == 200, path


def test_the_status_port_holds_a_bounded_number_of_connections(pair):
    host, _, port = pair.status_url.removeprefix("http://").rpartition(":")
    answered = 0
    with contextlib.ExitStack() as stack:
        for _ in range(80):
            connection = stack.enter_context(socket.create_connection((host, int(port)), 20))
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answered += connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert 32 <= answered <= 64
    ready = f"{pair.status_url}/ready"
    pair.wait_for(lambda: httpx.get(ready, trust_env=False).is_success, "the port does not recover")


def to_admin(pair) -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(uds=str(pair.state_dir / "run" / "admin.sock"))
