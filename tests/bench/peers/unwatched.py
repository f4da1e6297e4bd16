"""palaver without anything that watches calls: no metrics, no access log, no audit log, no spans."""

from __future__ import annotations

from tests.bench.peers.palaver_grpc import PalaverGrpc
from tests.bench.plan import Plan
from tests.bench.processes import Launcher


class Unwatched(PalaverGrpc):
    """Its log has errors alone."""

    async def start(self, plan: Plan, launcher: Launcher) -> str:
        """Start the server."""
        return await self.start_with(plan, launcher, "--metrics-listen", "", "--log-level", "error")


PEER = Unwatched()
