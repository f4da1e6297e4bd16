"""The rounds: every peer once in each, one after another, as two engines at once would take each other's cores."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.bench.measured import Visit
from tests.bench.plan import Plan
from tests.bench.visit import visit


async def run_rounds(plan: Plan, logs: Path, done: Callable[[str], None]) -> list[Visit]:
    """Measure all there is to measure.

    Args:
        plan: the settings of the run.
        logs: a folder.
        done: is told after each step what comes next.

    Raises:
        BenchError: a peer does not start, or fails to answer.
    """
    visits: list[Visit] = []
    client_seconds_per_token: dict[str, float] = {}
    capacity = 0.0
    began = time.monotonic()
    longest = 0.0
    for round_number in range(1, plan.rounds + 1):
        round_began = time.monotonic()
        if round_began - began + longest > plan.minutes * 60:
            break
        for place, peer in enumerate(plan.order(round_number), 1):
            visited = await visit(
                plan,
                peer,
                round_number=round_number,
                place=place,
                client_seconds_per_token=client_seconds_per_token,
                capacity=capacity,
                folder=logs / f"{round_number}-{peer}",
                done=partial(_tell, done, f"round {round_number}, {peer}"),
            )
            visits.append(visited)
            if peer == plan.peers[0]:
                # The newest figure: the machine's speed changes with what else it does.
                client_seconds_per_token = {cell.load: cell.client_us_per_token / 1e6 for cell in visited.cells}
                # The oldest one: rounds can be compared only if callers arrive as often in all of them.
                capacity = capacity or _capacity(plan, visited)
        longest = max(longest, time.monotonic() - round_began)
    return visits


def _capacity(plan: Plan, visited: Visit) -> float:
    """Answers a second; 0 where no load asks for it."""
    return next((cell.answers_per_second for cell in visited.cells if cell.load == plan.full_load.label), 0.0)


def _tell(done: Callable[[str], None], where: str, step: str) -> None:
    done(f"{where}: {step}")
