"""Servers as processes of their own: they are signalled, killed, and looked after."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from palaver.v1 import (
    chat_service_pb2,
    chat_service_pb2_grpc,
    content_part_pb2,
    generation_options_pb2,
    message_pb2,
    role_pb2,
)
from palaver_server.models.cache import default_cache_dir
from palaver_server.models.store import ensure


@dataclass
class ServerProcess:
    """A server that runs as ``palaver serve`` does for a user."""

    process: asyncio.subprocess.Process
    address: str
    lines: list[str] = field(default_factory=list)
    _reader: asyncio.Task[None] | None = None

    def channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(self.address)

    def processes(self) -> list[psutil.Process]:
        """The server and everything that it started."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def session(self) -> list[psutil.Process]:
        """Who lives of the session that it leads (``own_group``): whoever it has started, and whoever they have."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                if os.getsid(process.pid) == self.process.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    async def said(self, text: str, seconds: float = 30) -> str:
        """The first line with a text in what the server wrote to standard error."""
        async with asyncio.timeout(seconds):
            while True:
                for line in self.lines:
                    if text in line:
                        return line
                if self.process.returncode is not None and (self._reader is None or self._reader.done()):
                    raise AssertionError("the server ended:\n" + "\n".join(self.lines))
                await asyncio.sleep(0.01)

    async def read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode().rstrip())


StartServer = Callable[..., Awaitable[ServerProcess]]


@pytest.fixture
async def start_server(tmp_path: Path) -> AsyncIterator[StartServer]:
    """Start ``palaver serve --engine scripted`` with more flags; whatever is left at the test's end is killed."""
    servers: list[ServerProcess] = []

    async def start(
        *flags: str, own_group: bool = False, wait_for: str = "Ready after", seconds: float = 30
    ) -> ServerProcess:
        address = f"unix:{tmp_path}/{len(servers)}.sock"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "palaver_server", "serve", "--engine", "scripted", "--listen", address),
            *("--log-format", "json", *flags),
            stderr=asyncio.subprocess.PIPE,
            start_new_session=own_group,
        )
        server = ServerProcess(process, address)
        server._reader = asyncio.create_task(server.read())
        servers.append(server)
        await server.said(wait_for, seconds)
        return server

    yield start
    for server in servers:
        if server.process.returncode is None:
            server.process.kill()
        await server.process.wait()
        if server._reader is not None:
            await server._reader


@pytest.fixture(scope="session")
def model() -> str:
    return str(ensure("smollm2-135m-instruct", default_cache_dir()))


@pytest.fixture
def start_engine(start_server, model):
    async def start(*flags: str, wait_for: str = "Ready after", own_group: bool = False):
        return await start_server(
            *("--engine", "vllm", "--model", model, "--max-model-len", "2048", *flags),
            own_group=own_group,
            wait_for=wait_for,
            seconds=300,
        )

    return start


def stream_request(text: str = "hi", max_output_tokens: int | None = None) -> chat_service_pb2.StreamChatRequest:
    part = content_part_pb2.ContentPart(text=text)
    message = message_pb2.Message(role=role_pb2.ROLE_USER, content=[part])
    options = generation_options_pb2.GenerationOptions(max_output_tokens=max_output_tokens)
    return chat_service_pb2.StreamChatRequest(chat=chat_service_pb2.ChatRequest(messages=[message], options=options))


class Reader:
    """A client that reads one stream to its end."""

    def __init__(self, channel: grpc.aio.Channel, text: str = "hi", max_output_tokens: int | None = None) -> None:
        request = stream_request(text, max_output_tokens)
        self.call = chat_service_pb2_grpc.ChatServiceStub(channel).StreamChat(request)
        self.events: list[str] = []
        self.text = ""
        self.has_begun = asyncio.Event()
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> grpc.aio.AioRpcError | None:
        try:
            async for event in self.call:
                self.events.append(event.WhichOneof("event"))
                self.text += event.delta.text
                if len(self.events) > 1:
                    self.has_begun.set()
        except grpc.aio.AioRpcError as error:
            return error
        return None


@pytest.fixture
def read_streams() -> Callable[..., Awaitable[list[Reader]]]:
    """Open so many streams and return when each has had its first words."""

    async def open_streams(
        channel: grpc.aio.Channel, count: int, text: str = "hi", max_output_tokens: int | None = None
    ) -> list[Reader]:
        readers = [Reader(channel, text, max_output_tokens) for _ in range(count)]
        await asyncio.gather(*(reader.has_begun.wait() for reader in readers))
        return readers

    return open_streams


@pytest.fixture
def ask() -> Callable[[grpc.aio.Channel], Awaitable[chat_service_pb2.ChatResponse]]:
    async def call(channel: grpc.aio.Channel) -> chat_service_pb2.ChatResponse:
        return await chat_service_pb2_grpc.ChatServiceStub(channel).Chat(stream_request().chat)

    return call


@pytest.fixture
def watch_health() -> Callable[..., asyncio.Task[list[int]]]:
    """Collect what a health watch says until it ends."""

    def start(channel: grpc.aio.Channel, service: str = "", seen: list[int] | None = None) -> asyncio.Task[list[int]]:
        statuses: list[int] = [] if seen is None else seen

        async def collect() -> list[int]:
            try:
                watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=service))
                async for answer in watch:  # one by one: others look at the list meanwhile
                    statuses.append(answer.status)  # noqa: PERF401
            except grpc.aio.AioRpcError:
                pass
            return statuses

        return asyncio.create_task(collect())

    return start
