"""palaver with a message for every token, however busy it is."""

from __future__ import annotations

from tests.bench.peers.palaver_grpc import PalaverGrpc
from tests.bench.plan import Plan
from tests.bench.processes import Launcher


class Uncoalesced(PalaverGrpc):
    """As it is by default but for that."""

    async def start(self, plan: Plan, launcher: Launcher) -> str:
        """Start the server."""
        return await self.start_with(plan, launcher, "--coalescing-delay", "0")


PEER = Uncoalesced()
