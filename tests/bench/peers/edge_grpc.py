"""palaver through its Envoy sidecar, asked over gRPC with TLS."""

from __future__ import annotations

import grpc

from tests.bench.peers import edge
from tests.bench.peers.palaver_grpc import CHANNEL_OPTIONS, CONNECTIONS, PalaverClient
from tests.bench.plan import Plan
from tests.bench.processes import Launcher


class EdgeGrpc:
    """Implements ``peer.Peer``."""

    engines = ("vllm", "scripted")

    async def start(self, plan: Plan, launcher: Launcher) -> str:
        """Start server and Envoy."""
        return await edge.start(plan, launcher)

    async def connect(self, plan: Plan, found: str) -> PalaverClient:
        """Open the connections."""
        running = edge.found(found)
        credentials = grpc.ssl_channel_credentials(running.authority())
        address = f"localhost:{running.port}"
        channels = [grpc.aio.secure_channel(address, credentials, options=CHANNEL_OPTIONS) for _ in range(CONNECTIONS)]
        return PalaverClient(channels, running.processes())


PEER = EdgeGrpc()
