"""Keys through the real edge: each refusal in its protocol's shape, changes at once, and no trace of any key."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import grpc
import httpx
import psutil
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, role_pb2
from palaver_server.core.identity.key_text import PREFIX, new_key_text

REST = {"messages": [{"role": "ROLE_USER", "content": [{"text": "one two"}]}]}
OPENAI = {"messages": [{"role": "user", "content": "one two"}]}
SEEN_SECONDS = 20
"""A change counts within a second; a busy machine gets more."""


def keys(state_dir: Path, *arguments: str) -> str:
    """What `palaver keys` prints on standard output."""
    command = [sys.executable, "-m", "palaver_server", "keys", *arguments, "--state-dir", str(state_dir)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def new_key(state_dir: Path, client: str, *arguments: str) -> tuple[str, str]:
    """A key's text and id."""
    text = keys(state_dir, "create", "--client", client, *arguments)
    rows = json.loads(keys(state_dir, "list", "--json"))
    return text, next(row["id"] for row in reversed(rows) if row["client"] == client)


def shown(text: str) -> tuple[tuple[str, str], ...]:
    return (("x-api-key", text),)


def request() -> chat_service_pb2.ChatRequest:
    chat = chat_service_pb2.ChatRequest()
    chat.messages.add(role=role_pb2.ROLE_USER).content.add(text="one two")
    return chat


async def grpc_refusal(channel, metadata) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await chat_service_pb2_grpc.ChatServiceStub(channel).Chat(request(), metadata=metadata)
    info = error_details_pb2.ErrorInfo()
    assert rpc_status.from_call(caught.value).details[0].Unpack(info)
    return caught.value.code(), info.reason


async def until_status(client, text: str, status: int) -> None:
    async with asyncio.timeout(SEEN_SECONDS):
        while (await client.get("/palaver/v1/models", headers={"x-api-key": text})).status_code != status:
            await asyncio.sleep(0.05)


@pytest.fixture
def state_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("s")


async def test_every_refusal_in_every_protocol(start_pair, state_dir):
    good, _ = new_key(state_dir, "acme", "--requests-per-minute", "unlimited")
    counting, _ = new_key(state_dir, "counting", "--methods", "CountTokens")
    explaining, _ = new_key(state_dir, "explaining", "--methods", "ExplainChat")
    elsewhere, _ = new_key(state_dir, "elsewhere", "--models", "another")
    revoked, revoked_id = new_key(state_dir, "gone")
    keys(state_dir, "revoke", revoked_id)
    pair = start_pair(state_dir=state_dir)
    rows = [
        (None, grpc.StatusCode.UNAUTHENTICATED, 401, "KEY_MISSING", None),
        ("sk-something", grpc.StatusCode.UNAUTHENTICATED, 401, "KEY_MALFORMED", "invalid_api_key"),
        (new_key_text(), grpc.StatusCode.UNAUTHENTICATED, 401, "KEY_UNKNOWN", "invalid_api_key"),
        (revoked, grpc.StatusCode.UNAUTHENTICATED, 401, "KEY_REVOKED", "invalid_api_key"),
        (counting, grpc.StatusCode.PERMISSION_DENIED, 403, "METHOD_NOT_ALLOWED", "insufficient_permissions"),
        (elsewhere, grpc.StatusCode.PERMISSION_DENIED, 403, "MODEL_NOT_ALLOWED", "model_not_found"),
    ]
    async with pair.client() as client, pair.channel() as channel:
        for text, code, status, reason, openai_code in rows:
            assert await grpc_refusal(channel, shown(text) if text else ()) == (code, reason)
            headers = {"authorization": f"Bearer {text}"} if text else {}
            for path in ("/palaver/v1/chat", "/palaver/v1/chat:stream"):
                answer = await client.post(path, json=REST, headers=headers)
                assert answer.status_code == status, answer.text
                assert answer.json()["details"][0]["reason"] == reason
            for streamed in (False, True):
                answer = await client.post("/v1/chat/completions", json={**OPENAI, "stream": streamed}, headers=headers)
                assert answer.status_code == status
                assert answer.json()["error"]["code"] == openai_code
                assert answer.json()["error"]["type"] == "invalid_request_error"
                assert answer.headers["x-request-id"]
            if status == 401:
                assert answer.headers["www-authenticate"].startswith("Bearer")
        assert (await client.post("/palaver/v1/chat", json=REST, headers={"x-api-key": good})).status_code == 200
        # What shows prompts is for keys alone that name it.
        for text, status in ((good, 403), (counting, 403), (explaining, 200)):
            answer = await client.post("/palaver/v1/chat:explain", json=REST, headers={"x-api-key": text})
            assert answer.status_code == status, answer.text
        assert answer.json()["prompt_text"]
        # Fields that the transcoder would drop are seen only by whoever has a key.
        assert (await client.post("/palaver/v1/chat", json={"nope": 1})).status_code == 401
        refused = await client.post("/palaver/v1/chat", json={"nope": 1}, headers={"x-api-key": good})
        assert (refused.status_code, "nope" in refused.json()["message"]) == (400, True)


async def test_health_is_open_and_nothing_internal_is_reachable(start_pair, state_dir):
    text, _ = new_key(state_dir, "acme", "--requests-per-minute", "1")
    pair = start_pair(state_dir=state_dir)
    async with pair.client() as client, pair.channel() as channel:
        assert (await client.get("/health")).status_code == 200
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        for service, method in (
            ("envoy.service.auth.v3.Authorization", "Check"),
            ("envoy.service.ratelimit.v3.RateLimitService", "ShouldRateLimit"),
            ("grpc.channelz.v1.Channelz", "GetTopChannels"),
        ):
            for metadata in ((), shown(text)):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await channel.unary_unary(f"/{service}/{method}")(b"", metadata=metadata)
                assert caught.value.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND)
            answer = await client.post(f"/{service}/{method}", json={}, headers={"x-api-key": text})
            assert answer.status_code in (404, 415)
        # Reflection takes any key, and costs none of its calls: there is only one.
        ask = [reflection_pb2.ServerReflectionRequest(list_services="")]
        reflect = channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )
        for _ in range(3):
            listed = await reflect(iter(ask), metadata=shown(text)).read()
            assert all("envoy" not in service.name for service in listed.list_services_response.service)
        await chat_service_pb2_grpc.ChatServiceStub(channel).Chat(request(), metadata=shown(text))


async def test_keys_change_under_twenty_streams_and_only_the_revoked_ones_end(start_pair, state_dir):
    stays, _ = new_key(state_dir, "stays", "--requests-per-minute", "unlimited")
    goes, goes_id = new_key(state_dir, "goes", "--requests-per-minute", "unlimited")
    turns, turns_id = new_key(state_dir, "turns", "--requests-per-minute", "unlimited")
    pair = start_pair(
        *("--scripted-tokens", "100000", "--scripted-interval", "0.02", "--grace", "0"), state_dir=state_dir
    )
    async with pair.client() as client, pair.channel() as channel:
        stub = chat_service_pb2_grpc.ChatServiceStub(channel)
        ask = chat_service_pb2.StreamChatRequest(chat=request())
        streams = {
            text: [stub.StreamChat(ask, metadata=shown(text)) for _ in range(count)]
            for text, count in ((stays, 7), (goes, 6), (turns, 7))
        }
        for stream in (one for several in streams.values() for one in several):
            assert (await stream.read()).WhichOneof("event") == "started"
        async with (
            client.stream("POST", "/palaver/v1/chat:stream", json=REST, headers={"x-api-key": goes}) as events,
            client.stream(
                "POST", "/v1/chat/completions", json={**OPENAI, "stream": True}, headers={"x-api-key": goes}
            ) as chunks,
        ):
            rest_lines, openai_lines = events.aiter_lines(), chunks.aiter_lines()
            assert (await anext(rest_lines)).startswith("data: ")
            assert (await anext(openai_lines)).startswith(("data: ", ":"))
            created, _ = await asyncio.to_thread(new_key, state_dir, "created")
            await until_status(client, created, 200)
            turned = await asyncio.to_thread(keys, state_dir, "rotate", turns_id)
            await until_status(client, turned, 200)
            await until_status(client, turns, 401)
            await asyncio.to_thread(keys, state_dir, "revoke", goes_id)
            for stream in streams[goes]:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    while await stream.read() is not grpc.aio.EOF:
                        pass
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            # Over HTTP the last event says so, because the status of the answer went out long before.
            assert "KEY_REVOKED" in [line async for line in rest_lines if line][-1]
            assert "invalid_api_key" in [line async for line in openai_lines if line][-1]
        await until_status(client, goes, 401)
        for stream in (*streams[stays], *streams[turns]):
            assert [(await stream.read()).WhichOneof("event") for _ in range(3)] == ["delta"] * 3
            stream.cancel()


async def test_a_key_is_found_nowhere(start_pair, state_dir):
    """Not in files, logs, process lists, errors, metrics, nor in what Envoy shows of its configuration and state."""
    text, _ = new_key(state_dir, "acme", "--requests-per-minute", "2")
    wrong = new_key_text()
    pair = start_pair("--log-level", "debug", state_dir=state_dir)
    told = []
    async with pair.client() as client, pair.channel() as channel:
        for key in (text, text, text, wrong, text[:-1]):
            for headers in ({"x-api-key": key}, {"authorization": f"Bearer {key}"}):
                answer = await client.post("/v1/chat/completions?key=1", json=OPENAI, headers=headers)
                told += [answer.text, str(answer.headers)]
            call = chat_service_pb2_grpc.ChatServiceStub(channel).Chat(request(), metadata=shown(key))
            told.append(f"{await call.code()} {await call.details()} {await call.trailing_metadata()}")
        told.append((await client.get(f"{pair.status_url}/metrics")).text)
    transport = httpx.AsyncHTTPTransport(uds=str(state_dir / "run" / "admin.sock"))
    async with httpx.AsyncClient(transport=transport, base_url="http://envoy", timeout=30) as admin:
        for path in ("/config_dump?include_eds", "/stats", "/clusters", "/server_info"):
            told.append((await admin.get(path)).text)
    family = [psutil.Process(pair.process.pid), *psutil.Process(pair.process.pid).children(recursive=True)]
    told += [" ".join([*process.cmdline(), *process.environ().values()]) for process in family]
    await asyncio.to_thread(pair.stop)
    told += pair.lines
    told += [path.read_bytes().decode(errors="replace") for path in state_dir.rglob("*") if path.is_file()]
    everything = "\n".join(told)
    assert "edge call" in everything
    for key in (text, wrong):
        assert key not in everything
        assert key[len(PREFIX) : len(PREFIX) + 16] not in everything
