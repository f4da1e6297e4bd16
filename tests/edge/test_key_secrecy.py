"""No trace of any key: whatever server and edge write, show or tell is searched for a right one and a wrong one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import psutil

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, role_pb2
from palaver_server.core.identity.key_text import PREFIX, new_key_text
from tests.edge.conftest import Pair, new_key
from tests.telemetry.otlp import receiving

OPENAI = {"messages": [{"role": "user", "content": "one two"}]}
ADMIN = (
    "/config_dump?include_eds",
    "/stats",
    "/stats/prometheus",
    "/clusters",
    "/server_info",
    "/listeners",
    "/memory",
)


async def answers(pair: Pair, shown: tuple[str, ...]) -> list[str]:
    """All that callers are told who show these keys in every place where a key may stand."""
    told: list[str] = []
    request = chat_service_pb2.ChatRequest()
    request.messages.add(role=role_pb2.ROLE_USER).content.add(text="one two")
    async with pair.client() as client, pair.channel() as channel, pair.direct_channel() as direct:
        for key in shown:
            for headers in ({"x-api-key": key}, {"authorization": f"Bearer {key}"}):
                answer = await client.post("/v1/chat/completions", json=OPENAI, headers=headers)
                told += [answer.text, str(answer.headers)]
            for way in (channel, direct):
                call = chat_service_pb2_grpc.ChatServiceStub(way).Chat(request, metadata=(("x-api-key", key),))
                told.append(f"{await call.code()} {await call.details()} {await call.trailing_metadata()}")
    return told


async def shown_by_processes(pair: Pair) -> list[str]:
    """Metrics of both, what Envoy's administrator sees, command lines and environments."""
    told: list[str] = []
    async with httpx.AsyncClient(trust_env=False, timeout=30) as plain:
        told.append((await plain.get(f"{pair.status_url}/metrics")).text)
        told.append((await plain.get(f"http://{pair.event('metrics port')['address']}/metrics")).text)
    transport = httpx.AsyncHTTPTransport(uds=str(pair.state_dir / "run" / "admin.sock"))
    async with httpx.AsyncClient(transport=transport, base_url="http://envoy", timeout=30) as admin:
        told += [(await admin.get(path)).text for path in ADMIN]
    family = [psutil.Process(pair.process.pid), *psutil.Process(pair.process.pid).children(recursive=True)]
    assert "envoy" in [process.name() for process in family]
    return told + [" ".join([*process.cmdline(), *process.environ().values()]) for process in family]


async def test_a_key_is_found_nowhere(start_pair, state_dir: Path):
    """At the lowest level that the log has, with audit log, traces and access log."""
    text, _ = new_key(state_dir, "acme", "--requests-per-minute", "2")
    wrong = new_key_text()
    async with receiving() as receiver:
        pair = start_pair(
            *("--log-level", "debug", "--audit-dir", str(state_dir / "audit"), "--metrics-listen", "127.0.0.1:0"),
            *("--otlp-endpoint", receiver.endpoint),
            state_dir=state_dir,
        )
        told = await answers(pair, (text, text, text, wrong, text[:-1]))
        told += await shown_by_processes(pair)
        await asyncio.to_thread(pair.stop)
        told.append(str(receiver.spans))
    told += pair.lines
    files = await asyncio.to_thread(lambda: [path for path in state_dir.rglob("*") if path.is_file()])
    assert [path for path in files if path.is_relative_to(state_dir / "audit")]
    everything = "\n".join([*told, *(path.read_bytes().decode(errors="replace") for path in files)])
    for witness in ("edge call", "palaver_", "envoy_", "gen_ai", "acme", "KEY_UNKNOWN", "rate_limit_exceeded"):
        assert witness in everything, "what was searched holds what it should"
    for key in (text, wrong):
        assert key not in everything
        assert key[len(PREFIX) : len(PREFIX) + 16] not in everything
