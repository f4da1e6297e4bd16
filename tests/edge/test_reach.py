"""What can be reached through the edge, with a key and without: health, reflection, and nothing that is internal."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, role_pb2
from tests.edge.conftest import new_key

ROOT = Path(__file__).parents[2]
GRPCURL = shutil.which("grpcurl", path=os.pathsep.join([os.environ.get("PATH", ""), str(ROOT / ".cache/bin")]))
INTERNAL = [
    "envoy.service.auth.v3.Authorization/Check",
    "envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit",
    "xds.service.orca.v3.OpenRcaService/StreamCoreMetrics",
    "grpc.channelz.v1.Channelz/GetTopChannels",
    "envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus",
    "palaver.v1.Internal/Anything",
]
ADMIN = ["/config_dump", "/stats", "/clusters", "/quitquitquit", "/logging", "/server_info", "/metrics", "/ready"]


@pytest.fixture(scope="module")
def locked(tmp_path_factory, start_pair_of_module):
    """A pair that asks for a key, and one that may call once a minute."""
    state_dir = tmp_path_factory.mktemp("s")
    text, _ = new_key(state_dir, "acme", "--requests-per-minute", "1")
    return start_pair_of_module(state_dir=state_dir), text


@pytest.mark.parametrize("method", INTERNAL)
async def test_nobody_reaches_an_internal_service_over_grpc_or_http(locked, method):
    pair, key = locked
    async with pair.client() as client, pair.channel() as channel:
        for metadata in ((), (("x-api-key", key),)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(f"/{method}")(b"", metadata=metadata)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert caught.value.details() == "There is no such path."
            assert (await client.post(f"/{method}", json={}, headers=dict(metadata))).status_code == 404
            web = {"content-type": "application/grpc-web+proto", **dict(metadata)}
            answer = await client.post(f"/{method}", content=bytes(5), headers=web)
            assert answer.headers["grpc-status"] == "12"


@pytest.mark.parametrize("path", ADMIN)
async def test_nobody_reaches_envoys_admin_over_the_edge(locked, path):
    pair, key = locked
    async with pair.client() as client:
        for headers in ({}, {"x-api-key": key}):
            for method in ("GET", "POST"):
                assert (await client.request(method, path, headers=headers)).status_code == 404


async def test_health_is_open_and_reflection_costs_no_call_of_the_key(locked):
    pair, key = locked
    shown = (("x-api-key", key),)
    async with pair.client() as client, pair.channel() as channel:
        assert (await client.get("/health")).status_code == 200
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        ask = [reflection_pb2.ServerReflectionRequest(list_services="")]
        reflect = channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )
        for _ in range(3):
            listed = await reflect(iter(ask), metadata=shown).read()
            assert all("envoy" not in service.name for service in listed.list_services_response.service)
        request = chat_service_pb2.ChatRequest()
        request.messages.add(role=role_pb2.ROLE_USER).content.add(text="one two")
        await chat_service_pb2_grpc.ChatServiceStub(channel).Chat(request, metadata=shown)


@pytest.mark.skipif(GRPCURL is None, reason="needs grpcurl")
async def test_grpcurl_lists_services_asks_for_health_and_chats(pair):
    async def grpcurl(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *(GRPCURL or "", "-cacert", str(pair.ca), *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        )
        output, errors = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, errors.decode()
        return output.decode()

    address = f"localhost:{pair.port}"
    services = (await grpcurl(address, "list")).split()
    assert {"grpc.health.v1.Health", "palaver.v1.ChatService"} <= set(services)
    assert not [name for name in services if name.startswith(("envoy", "xds"))]
    assert "rpc StreamChat" in await grpcurl(address, "describe", "palaver.v1.ChatService")
    assert "SERVING" in await grpcurl(address, "grpc.health.v1.Health/Check")
    question = '{"messages": [{"role": "ROLE_USER", "content": [{"text": "one two"}]}]}'
    assert "one two" in await grpcurl("-d", question, address, "palaver.v1.ChatService/Chat")
