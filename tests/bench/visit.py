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
    client_seconds_per_token: Mapping[str, float],
    capacity: float,
    folder: Path,
    done: Callable[[str], None],
) -> Visit:
    """Measure one peer.

    Args:
        plan: the settings of the run.
        peer: its name.
        round_number: from 1.
        place: in the round, from 1.
        client_seconds_per_token: by load, the CPU time of a load client over the network.
        capacity: answers a second of the first peer; 0 to measure it in this visit.
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
        for load_asked in plan.loads:
            done(f"{load_asked.label} streams" if load_asked.streams else f"arrivals at {load_asked.label}")
            cell = plan.cell(load_asked, client_seconds_per_token.get(load_asked.label, 0.0), capacity)
            measured = Measured.model_validate_json(await load.exchange(cell.model_dump_json(), seconds=CELL_SECONDS))
            cells.append(measured)
            if load_asked == plan.full_load:
                capacity = capacity or measured.answers_per_second
    return Visit(round=round_number, place=place, peer=peer, start_seconds=round(start_seconds, 3), cells=cells)
