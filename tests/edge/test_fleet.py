"""Two pairs that ask one envoyproxy/ratelimit with Redis: a key's limit is for all of them together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, role_pb2

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
SERVICE = "github.com/envoyproxy/ratelimit/src/service_cmd@v1.4.1-0.20260122083618-3fb702589d36"
"""The service tags no releases: this is the version that was tried."""
LOOPBACK = "127.0.0.1"
MINUTE = 60
LIMITS = (30, 45)
"""Requests per minute of the keys."""
REST = {"messages": [{"role": "ROLE_USER", "content": [{"text": "one"}]}]}
STATUSES = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
}


@pytest.fixture(scope="module")
def programs() -> tuple[str, Path]:
    """redis-server and the rate limit service, which is built where it is not there."""
    redis = shutil.which("redis-server")
    if redis is None:
        pytest.skip("needs redis-server: apt-get install redis-server")
    service = ROOT / ".cache" / "bin" / "service_cmd"
    if not service.is_file():
        if shutil.which("go") is None:
            pytest.skip("needs Go, to build envoyproxy/ratelimit")
        env = os.environ | {"GOBIN": str(service.parent.resolve())}
        built = subprocess.run(("go", "install", SERVICE), env=env, capture_output=True, text=True, check=False)
        if "dial tcp" in built.stderr or "proxy" in built.stderr:
            pytest.skip(f"the Go module proxy cannot be reached: {built.stderr[-200:]}")
        assert built.returncode == 0, built.stderr
    return redis, service


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


class Program:
    """A program that listens on a port; it can be stopped and started again."""

    def __init__(self, folder: Path, port: int, *command: str | Path, **env: str) -> None:
        self.port = port
        self._folder, self._command, self._env = folder, command, env
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = self._folder / f"{Path(self._command[0]).name}.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=output, cwd=self._folder, env=os.environ | self._env
            )
        ends = time.monotonic() + 60
        while time.monotonic() < ends and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, self.port), 1):
                return
            time.sleep(0.05)
        raise AssertionError(f"{self._command} does not listen\n{log.read_text()[-2000:]}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@dataclass
class Door:
    """One pair, and how to call it."""

    client: httpx.AsyncClient
    channel: grpc.aio.Channel

    async def rest(self, key: str) -> httpx.Response:
        return await self.client.post("/palaver/v1/chat:countTokens", json=REST, headers={"x-api-key": key})

    async def openai(self, key: str) -> httpx.Response:
        return await self.client.get("/v1/models", headers={"authorization": f"Bearer {key}"})

    async def grpc(self, key: str) -> grpc.aio.UnaryUnaryCall:
        count = chat_service_pb2.CountTokensRequest()
        count.chat.messages.add(role=role_pb2.ROLE_USER).content.add(text="one")
        call = chat_service_pb2_grpc.ChatServiceStub(self.channel).CountTokens(count, metadata=(("x-api-key", key),))
        await call.code()
        return call

    async def call(self, key: str, way: int) -> int:
        """The HTTP status of one call by one of the protocols, or what stands for it in gRPC."""
        if way % 3:
            return (await (self.rest(key) if way % 3 == 1 else self.openai(key))).status_code
        return STATUSES[await (await self.grpc(key)).code()]


class Fleet:
    """Redis, the rate limit service, and two pairs of one key file."""

    def __init__(self, folder: Path, redis: str, service: Path) -> None:
        redis_port, service_port, http_port, debug_port = free_ports(4)
        configuration = folder / "limits" / "config"
        configuration.mkdir(parents=True)
        shutil.copy(ROOT / "deploy" / "ratelimit" / "palaver.yaml", configuration)
        in_memory = ("--save", "", "--appendonly", "no")
        self.redis = Program(folder, redis_port, redis, "--bind", LOOPBACK, "--port", str(redis_port), *in_memory)
        self.service = Program(
            folder,
            service_port,
            service,
            REDIS_SOCKET_TYPE="tcp",
            REDIS_URL=f"{LOOPBACK}:{redis_port}",
            REDIS_TIMEOUT="1s",
            RUNTIME_ROOT=str(folder),
            RUNTIME_SUBDIRECTORY="limits",
            RUNTIME_WATCH_ROOT="false",
            USE_STATSD="false",
            GRPC_HOST=LOOPBACK,
            HOST=LOOPBACK,
            DEBUG_HOST=LOOPBACK,
            GRPC_PORT=str(service_port),
            PORT=str(http_port),
            DEBUG_PORT=str(debug_port),
        )
        self._keys_file = folder / "keys.json"
        self.flags = (
            *("--edge-rate-limit-service", f"{LOOPBACK}:{service_port}"),
            *("--keys-file", str(self._keys_file)),
        )
        self.keys = {str(limit): [self.new_key(str(limit)) for _ in range(4)] for limit in LIMITS}
        self.unlimited = self.new_key("unlimited")
        self.doors: list[Door] = []

    def new_key(self, limit: str) -> str:
        create = (sys.executable, "-m", "palaver_server", "keys", "create", "--client", "acme")
        options = ("--requests-per-minute", limit, "--keys-file", str(self._keys_file))
        done = subprocess.run((*create, *options), check=True, capture_output=True, text=True, timeout=60)
        return done.stdout.strip()

    async def spend(self, limit: int) -> str:
        """Make more calls than a key may, see that exactly its limit passes, and give the key, which is used up.

        The service counts from full minute to full minute, so a run that crosses one is done anew with another key.
        """
        while self.keys[str(limit)]:
            key = self.keys[str(limit)].pop()
            began = time.time() // MINUTE
            outcomes = await self._hammer(key, 2 * limit)
            if time.time() // MINUTE == began:
                assert outcomes == {200: limit, 429: limit}
                return key
        raise AssertionError("no run was within one minute")

    async def _hammer(self, key: str, calls: int) -> Counter[int]:
        """So many calls, by each protocol and to each server in turn, ten at a time."""
        places = asyncio.Semaphore(10)

        async def one(number: int) -> int:
            async with places:
                return await self.doors[number % 2].call(key, number // 2)

        return Counter(await asyncio.gather(*(one(number) for number in range(calls))))


@pytest.fixture
async def fleet(programs, start_pair) -> AsyncIterator[Fleet]:
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="palaver-fleet-")))
        fleet = Fleet(folder, *programs)
        for program in (fleet.redis, fleet.service):
            stack.callback(program.stop)
            program.start()
        for pair in (start_pair(*fleet.flags), start_pair(*fleet.flags)):
            client = await stack.enter_async_context(pair.client())
            fleet.doors.append(Door(client, await stack.enter_async_context(pair.channel())))
        yield fleet


async def test_two_servers_let_a_key_through_as_often_as_one_would(fleet):
    for limit in LIMITS:
        key = await fleet.spend(limit)
    for door in fleet.doors:
        await _be_refused_for_a_while(door, key)
    waits = await _see_refusals(fleet.doors[1], key)
    await asyncio.sleep(waits + 1)  # clocks of two processes
    assert (await fleet.doors[0].rest(key)).status_code == 200


async def _be_refused_for_a_while(door: Door, key: str) -> None:
    """Use a key up, in a minute that does not end at once."""
    async with asyncio.timeout(120):
        while (answer := await door.rest(key)).status_code == 200 or int(answer.headers["retry-after"]) < 10:
            await asyncio.sleep(0.05)


async def _see_refusals(door: Door, key: str) -> int:
    """Each protocol's refusal of a key that is used up; the seconds to wait."""
    rest = await door.rest(key)
    assert rest.status_code == 429, rest.text
    assert rest.json()["code"] == 8
    assert rest.json()["details"][0]["reason"] == "RATE_LIMITED"
    openai = await door.openai(key)
    assert openai.status_code == 429
    assert openai.json()["error"]["code"] == "rate_limit_exceeded"
    assert openai.json()["error"]["type"] == "requests"
    for answer in (rest, openai):
        assert answer.headers["x-ratelimit-limit"].split(",")[0] == str(LIMITS[-1])
        assert answer.headers["x-ratelimit-remaining"] == "0"
        assert 1 <= int(answer.headers["retry-after"]) <= MINUTE
        assert answer.headers["x-request-id"]
    call = await door.grpc(key)
    assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "limit of requests per minute" in await call.details()
    metadata = dict(await call.trailing_metadata())
    assert 1 <= int(metadata["retry-after"]) <= MINUTE
    assert metadata["x-ratelimit-limit"] == f"{LIMITS[-1]}, {LIMITS[-1]};w={MINUTE}"
    return int(rest.headers["retry-after"])


async def test_calls_are_refused_while_nobody_counts_and_pass_again_after(fleet):
    key, (door, other) = fleet.keys[str(LIMITS[1])][0], fleet.doors
    for program in (fleet.service, fleet.redis):
        assert [await each.call(key, way) for each in fleet.doors for way in range(3)] == [200] * 6
        program.stop()
        answer = await door.rest(key)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["details"][0]["reason"] == "SERVER_UNREACHABLE"
        assert [await other.call(key, way) for way in range(3)] == [503] * 3
        assert [await other.call(fleet.unlimited, way) for way in range(3)] == [200] * 3
        assert (await door.client.get("/health")).status_code == 200
        program.start()
        async with asyncio.timeout(120):
            for each in fleet.doors:
                while await each.call(key, 1) != 200:
                    await asyncio.sleep(0.2)
