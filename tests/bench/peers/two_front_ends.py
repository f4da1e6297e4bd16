"""palaver with two processes that take calls, over one engine."""

from __future__ import annotations

from tests.bench.peers.palaver_grpc import PalaverGrpc
from tests.bench.plan import MAX_STREAMS, Plan
from tests.bench.processes import Launcher


class TwoFrontEnds(PalaverGrpc):
    """Over more connections, since the kernel deals connections out by chance, and not streams."""

    connections = 32

    async def start(self, plan: Plan, launcher: Launcher) -> str:
        """Start the server; each process has room for all streams, as the one process of the others has."""
        room = ("--max-concurrent-requests", str(2 * MAX_STREAMS), "--max-queued-requests", str(2 * MAX_STREAMS))
        return await self.start_with(plan, launcher, "--front-ends", "2", *room)


PEER = TwoFrontEnds()
