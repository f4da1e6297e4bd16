"""Server and Envoy begin and end together, however either of them ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import stat

import grpc
import httpx
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, role_pb2

SLOW = ("--scripted-tokens", "40", "--scripted-interval", "0.05")
"""An answer of two seconds."""
MESSAGES = {"messages": [{"role": "ROLE_USER", "content": [{"text": "hi"}]}]}


def stream_request() -> chat_service_pb2.StreamChatRequest:
    request = chat_service_pb2.StreamChatRequest()
    request.chat.messages.add(role=role_pb2.ROLE_USER).content.add(text="hi")
    return request


def words_or_kind(kind: str, text: str) -> list[str]:
    """A slow reader gets several words in one event."""
    return [kind] * (len(text.split()) if kind == "delta" else 1)


async def rest_stream(client: httpx.AsyncClient, begun: asyncio.Event) -> list[str]:
    """The kinds of a REST stream's events, a delta for each of its words."""
    kinds = []
    async with client.stream("POST", "/palaver/v1/chat:stream", json=MESSAGES) as answer:
        async for line in answer.aiter_lines():
            if line:
                event = json.loads(line.removeprefix("data: "))
                kinds += words_or_kind(next(iter(event)), event.get("delta", {}).get("text", ""))
                begun.set()
    return kinds


async def grpc_stream(channel: grpc.aio.Channel, begun: asyncio.Event) -> list[str]:
    kinds = []
    async for event in chat_service_pb2_grpc.ChatServiceStub(channel).StreamChat(stream_request()):
        kinds += words_or_kind(event.WhichOneof("event"), event.delta.text)
        begun.set()
    return kinds


async def ready_state(url: str) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"{url}/ready")).status_code


async def test_a_signal_lets_running_answers_end_whole_over_every_transport(start_pair):
    pair = start_pair(*SLOW, "--drain-delay", "0.5")
    envoy = pair.envoy()
    async with pair.client() as client, pair.channel() as channel:
        begun = [asyncio.Event() for _ in range(6)]
        streams = [
            asyncio.create_task(rest_stream(client, event) if number % 2 else grpc_stream(channel, event))
            for number, event in enumerate(begun)
        ]
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        await asyncio.gather(*(event.wait() for event in begun))
        assert await ready_state(pair.status_url) == 200
        pair.process.send_signal(signal.SIGTERM)
        pair.event("stopping")
        # Load balancers look away at once; whoever comes meanwhile is still served.
        assert await ready_state(pair.status_url) == 503
        for kinds in await asyncio.gather(*streams):
            assert (kinds[0], kinds[-1], kinds.count("delta")) == ("started", "finished", 40)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await watch.read()
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert await asyncio.to_thread(pair.process.wait, 20) == 0
    assert not envoy.is_running()


async def test_new_calls_of_a_draining_pair_are_told_to_come_back(start_pair):
    pair = start_pair(*SLOW)
    async with pair.client() as client, pair.channel() as channel:
        begun = asyncio.Event()
        stream = asyncio.create_task(grpc_stream(channel, begun))
        await begun.wait()
        pair.process.send_signal(signal.SIGTERM)
        pair.event("stopping")
        refused = await client.post("/palaver/v1/chat", json=MESSAGES)
        assert refused.status_code == 503
        assert refused.json()["details"][0]["reason"] == "SERVER_DRAINING"
        assert int(refused.headers["retry-after"]) >= 1
        assert (await stream)[-1] == "finished"


def test_envoy_ends_with_a_server_that_is_killed(start_pair):
    pair = start_pair()
    envoy = pair.envoy()
    pair.process.kill()
    envoy.wait(10)
    assert not envoy.is_running()


def test_the_server_ends_with_an_envoy_that_is_killed(start_pair):
    pair = start_pair()
    pair.envoy().kill()
    assert pair.process.wait(20) == 1
    assert "Envoy ended with -9" in pair.event("the edge failed")["cause"]


def test_a_second_signal_ends_both_at_once(start_pair):
    pair = start_pair("--drain-delay", "600")
    envoy = pair.envoy()
    pair.process.send_signal(signal.SIGINT)
    pair.event("stopping")
    pair.process.send_signal(signal.SIGINT)
    assert pair.process.wait(10) == 130
    envoy.wait(10)


def test_control_c_reaches_the_server_alone_and_it_ends_the_edge(start_pair):
    pair = start_pair()
    envoy = pair.envoy()
    os.killpg(pair.process.pid, signal.SIGINT)  # what a terminal does
    assert pair.process.wait(20) == 0
    assert not envoy.is_running()


def test_a_failed_load_ends_the_pair_with_1(start_pair):
    pair = start_pair("--scripted-load", "0.5", "--scripted-load-error", "The weights are gone.", wait_for="listening")
    assert pair.process.wait(20) == 1
    assert "The weights are gone." in pair.event("the model cannot be served")["cause"]


def test_a_taken_port_is_one_sentence(pair, start_pair):
    second = start_pair("--edge-listen", pair.address, wait_for="")
    assert second.process.wait(20) == 1
    assert f"cannot listen on {pair.address}" in second.event("cannot start")["cause"]


def test_two_pairs_do_not_share_a_state_folder(pair, start_pair):
    second = start_pair(state_dir=pair.state_dir, wait_for="")
    assert second.process.wait(20) == 1
    assert "another process listens there" in second.event("cannot start")["cause"]
    assert pair.process.poll() is None


async def test_readiness_follows_the_servers_health_from_the_first_second(start_pair):
    pair = start_pair("--scripted-load", "4", wait_for="edge listening")
    assert await ready_state(pair.status_url) == 503
    async with pair.client() as client:
        refused = await client.post("/palaver/v1/chat", json=MESSAGES)
        assert (refused.status_code, refused.json()["details"][0]["reason"]) == (503, "MODEL_LOADING")
        assert (await client.get("/palaver/v1/models")).json()["models"][0]["state"] == "MODEL_STATE_LOADING"
    pair.event("ready")
    async with asyncio.timeout(20):
        while await ready_state(pair.status_url) != 200:
            await asyncio.sleep(0.05)


async def test_an_engine_that_dies_ends_the_pair_and_its_callers_hear_of_it(start_pair):
    pair = start_pair("--scripted-tokens", "1000", "--scripted-interval", "0.02", "--scripted-die-after", "20")
    async with pair.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await grpc_stream(channel, asyncio.Event())
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert await asyncio.to_thread(pair.process.wait, 20) == 1


async def test_files_and_sockets_are_the_owners_alone(pair):
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in pair.state_dir.rglob("*")}
    for name in ("run", "tls", "run/admin.sock", "run/api.sock", "tls/tls.key", "tls/ca.key"):
        assert modes[pair.state_dir / name] & 0o077 == 0, name
    envoy = pair.envoy()
    listening = {c.laddr.port for c in envoy.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert listening == {pair.port, int(pair.status_url.rpartition(":")[2])}, "no admin port"
    async with httpx.AsyncClient(trust_env=False) as client:
        metrics = (await client.get(f"{pair.status_url}/metrics")).text
        assert "envoy_server_live" in metrics
        for path in ("/config_dump", "/quitquitquit", "/", "/metrics/../config_dump"):
            assert (await client.get(pair.status_url + path)).status_code == 404, path


async def test_calls_are_counted_by_method_over_every_transport(pair):
    async with pair.client() as client, pair.channel() as channel:
        await client.post("/palaver/v1/chat", json=MESSAGES)
        await chat_service_pb2_grpc.ChatServiceStub(channel).Chat(stream_request().chat)
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary("/palaver.v1.ChatService/Invented1234")(b"")
        async with httpx.AsyncClient(trust_env=False) as plain:
            metrics = (await plain.get(f"{pair.status_url}/metrics")).text
    counts = [line for line in metrics.splitlines() if "palaver_v1_ChatService" in line or "Chat" in line]
    assert any("Chat" in line and "success" in line for line in counts), counts
    assert "Invented1234" not in metrics


def test_the_log_tells_of_a_call_and_never_of_a_key(pair):
    key = "pk-secretsecretsecret"
    context: ssl.SSLContext = pair.ssl_context
    with httpx.Client(base_url=pair.url, verify=context, trust_env=False) as client:
        answer = client.post(
            "/palaver/v1/chat",
            json=MESSAGES,
            headers={"authorization": f"Bearer {key}", "x-api-key": key, "x-request-id": "mine"},
        )
        assert answer.headers["x-request-id"] == "mine"
        client.get(f"/v1/models?api_key={key}", headers={"x-request-id": "in the query"})
    pair.wait_for(lambda: [c for c in pair.events("edge call") if c["path"] == "/v1/models"], "no access line")
    line = pair.edge_call("mine")
    assert (line["path"], line["rpc"]) == ("/palaver/v1/chat", "/palaver.v1.ChatService/Chat")
    assert line["first_byte_ms"] <= line["duration_ms"]
    assert line["response_bytes"] > 100
    assert not any(key in text for text in pair.lines)
