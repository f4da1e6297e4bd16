"""One peer's turn in one round: start it, measure every cell, end it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.bench.measured import Measured, Visit
from tests.bench.peers import peer_named
from tests.bench.plan import Plan
from tests.bench.processes import READY_SECONDS, Launcher

CELL_SECONDS = 300.0
"""The longest cell takes a tenth of that; a peer that hangs must not hang the benchmark."""


async def visit(
    plan: Plan,
    peer: str,
    *,
    round_number: int,
    place: int,
    client_seconds_per_token: Mapping[int, float],
    folder: Path,
    done: Callable[[str], None],
) -> Visit:
    """Measure one peer.

    Args:
        plan: the settings of the run.
        peer: its name.
        round_number: from 1.
        place: in the round, from 1.
        client_seconds_per_token: by number of streams, the CPU time of a load client over the network.
        folder: for logs.
        done: is told after each step what comes next.

    Raises:
        BenchError: the peer does not start, or fails to answer.
    """
    async with Launcher(folder) as launcher:
        began = time.perf_counter()
        done("starting")
        command = [sys.executable, "-m", "tests.bench.load", peer, plan.model_dump_json()]
        load = await launcher.start("load", command, is_asked=True)
        await load.say(await peer_named(peer).start(plan, launcher))
        await load.exchange(plan.first_cell().model_dump_json(), seconds=READY_SECONDS)
        start_seconds = time.perf_counter() - began
        cells = []
        for streams in plan.streams:
            done(f"{streams} streams")
            cell = plan.cell(streams, client_seconds_per_token.get(streams, 0.0))
            cells.append(
                Measured.model_validate_json(await load.exchange(cell.model_dump_json(), seconds=CELL_SECONDS))
            )
    return Visit(round=round_number, place=place, peer=peer, start_seconds=round(start_seconds, 3), cells=cells)
