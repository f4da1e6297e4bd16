"""Transformers behind Flask: what a first version of a service often is. Engine and front end are one process."""

from __future__ import annotations

import json

import aiohttp

from tests.bench import install
from tests.bench.clocks import Processes
from tests.bench.peers.openai_client import OpenAIClient
from tests.bench.plan import Plan
from tests.bench.processes import Launcher

ENVIRONMENT = "flask"


class FlaskTransformers:
    """Implements ``peer.Peer``. It answers one caller after another: measure it with few streams."""

    engines = ("vllm",)

    async def start(self, plan: Plan, launcher: Launcher) -> str:
        """Start the server."""
        command = [install.program(ENVIRONMENT), "-m", "tests.bench.peers.flask_server", plan.model]
        server = await launcher.start("flask", command)
        port = (await server.line_with("Listening on port ")).split()[-1]
        return json.dumps({"url": f"http://127.0.0.1:{port}/v1/chat/completions", "pid": server.pid})

    async def connect(self, plan: Plan, found: str) -> OpenAIClient:
        """Open a pool of connections."""
        url, pid = json.loads(found).values()
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return OpenAIClient(session, url, plan.model, Processes.of(pid))


PEER = FlaskTransformers()
