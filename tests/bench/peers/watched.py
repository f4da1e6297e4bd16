"""palaver with all that watches calls: metrics, access log, audit log, and a span of each call to a collector."""

from __future__ import annotations

import sys

from tests.bench.peers.palaver_grpc import PalaverGrpc
from tests.bench.plan import Plan
from tests.bench.processes import Launcher


class Watched(PalaverGrpc):
    """The collector is a process of its own, whose CPU time is nobody's here."""

    async def start(self, plan: Plan, launcher: Launcher) -> str:
        """Start a collector and the server."""
        collector = await launcher.start("collector", [sys.executable, "-m", "tests.bench.collector"])
        endpoint = (await collector.line_with("http://")).strip()
        watching = ("--metrics-listen", "127.0.0.1:0", "--otlp-endpoint", endpoint)
        return await self.start_with(plan, launcher, *watching, "--audit-dir", str(launcher.state_folder / "audit"))


PEER = Watched()
