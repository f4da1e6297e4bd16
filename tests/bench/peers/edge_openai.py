"""palaver through its Envoy sidecar, asked by OpenAI's protocol: server-sent events over HTTP/1.1 with TLS."""

from __future__ import annotations

from tests.bench.peers import edge
from tests.bench.peers.openai_client import OpenAIClient
from tests.bench.plan import Plan
from tests.bench.processes import Launcher


class EdgeOpenAI:
    """Implements ``peer.Peer``."""

    engines = ("vllm", "scripted")

    async def start(self, plan: Plan, launcher: Launcher) -> str:
        """Start server and Envoy."""
        return await edge.start(plan, launcher)

    async def connect(self, plan: Plan, found: str) -> OpenAIClient:
        """Open a pool of connections, and ask for the model's name."""
        running = edge.found(found)
        session = running.session()
        async with session.get(f"{running.url}/v1/models") as response:
            (model,) = (await response.json())["data"]
        return OpenAIClient(session, f"{running.url}/v1/chat/completions", model["id"], running.processes())


PEER = EdgeOpenAI()
