from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def check(stub, service: str) -> int:
    return (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status


async def test_a_long_load_fails_readiness_and_never_liveness(start_server, tmp_path):
    health = f"unix:{tmp_path}/health"
    server = await start_server("--scripted-load", "600", "--health-listen", health, wait_for="health port")
    async with grpc.aio.insecure_channel(health) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for _ in range(20):
            assert await check(stub, "") == NOT_SERVING
            assert await check(stub, "palaver.v1.ChatService") == NOT_SERVING
            assert await check(stub, "palaver.live") == SERVING
    server.process.terminate()
    assert await server.process.wait() == 0


async def test_the_health_port_serves_health_alone(start_server, tmp_path, ask):
    health = f"unix:{tmp_path}/health"
    await start_server("--health-listen", health)
    async with grpc.aio.insecure_channel(health) as channel:
        assert await check(health_pb2_grpc.HealthStub(channel), "") == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(channel)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_systemd_is_told_when_the_server_is_ready_and_when_it_stops(start_server, tmp_path, monkeypatch):
    path = Path(tmp_path) / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(10)
        monkeypatch.setitem(os.environ, "NOTIFY_SOCKET", str(path))
        server = await start_server()
        assert await asyncio.to_thread(listener.recv, 1000) == b"STATUS=loading the model"
        assert await asyncio.to_thread(listener.recv, 1000) == b"READY=1\nSTATUS=serving"
        server.process.terminate()
        assert await asyncio.to_thread(listener.recv, 1000) == b"STOPPING=1\nSTATUS=stopping"
        assert await server.process.wait() == 0
