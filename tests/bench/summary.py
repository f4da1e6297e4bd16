"""What the visits say together: each peer's typical figures, and ratios of the pairs with their uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb
from statistics import median

from pydantic import BaseModel

from tests.bench.measured import Measured, Visit
from tests.bench.plan import Plan

CONFIDENCE = 0.95

FIGURES: dict[str, Callable[[Measured], float]] = {
    "tokens_per_second": lambda cell: cell.tokens_per_second,
    "front_end_us_per_token": lambda cell: cell.front_end_us_per_token,
    "engine_us_per_token": lambda cell: cell.engine_us_per_token,
    "client_us_per_token": lambda cell: cell.client_us_per_token,
    "client_share": lambda cell: cell.client_share,
    "front_end_mib": lambda cell: cell.front_end_mib,
    "engine_mib": lambda cell: cell.engine_mib,
    "answer_p50_ms": lambda cell: cell.answer_ms.p50,
    "answer_p99_ms": lambda cell: cell.answer_ms.p99,
    "tokens_per_chunk": lambda cell: cell.output_tokens / cell.chunks,
    "tokens_per_answer": lambda cell: cell.output_tokens / cell.answers,
    "ttft_p50_ms": lambda cell: cell.ttft_ms.p50,
    "ttft_p99_ms": lambda cell: cell.ttft_ms.p99,
    "gap_p50_ms": lambda cell: cell.gap_ms.p50,
    "gap_p99_ms": lambda cell: cell.gap_ms.p99,
    "gap_max_ms": lambda cell: cell.gap_ms.max,
    "longest_gap_ms": lambda cell: cell.longest_gap_ms,
}
"""By name: how a cell's measurement gives it."""
COMPARED = (
    "tokens_per_second",
    "front_end_us_per_token",
    "engine_us_per_token",
    "ttft_p50_ms",
    "ttft_p99_ms",
    "gap_p50_ms",
    "gap_p99_ms",
    "answer_p99_ms",
)


class Row(BaseModel):
    """One peer under one load: the median of each figure over the rounds."""

    peer: str
    load: str
    figures: dict[str, float]


class Ratio(BaseModel):
    """The first peer's figure divided by another's, round by round."""

    against: str
    load: str
    figure: str
    rounds: list[float]
    median: float
    low: float
    high: float
    coverage: float
    """How surely the true median lies from ``low`` to ``high``; fewer than six rounds cannot give 95 %."""


class Summary(BaseModel):
    """All that a table needs."""

    rounds: int
    start_seconds: dict[str, float]
    """By peer; the median."""
    rows: list[Row]
    ratios: list[Ratio]


def summarise(plan: Plan, visits: Sequence[Visit]) -> Summary:
    """Sum a run up."""
    cells = {(visited.peer, visited.round, cell.load): cell for visited in visits for cell in visited.cells}
    rounds = sorted({visited.round for visited in visits})

    def values(peer: str, load: str, figure: str) -> list[float]:
        return [FIGURES[figure](cells[peer, number, load]) for number in rounds]

    subject, *others = plan.peers
    loads = [load.label for load in plan.loads]
    return Summary(
        rounds=len(rounds),
        start_seconds={
            peer: median(visited.start_seconds for visited in visits if visited.peer == peer) for peer in plan.peers
        },
        rows=[
            Row(
                peer=peer,
                load=load,
                figures={figure: round(median(values(peer, load, figure)), 4) for figure in FIGURES},
            )
            for load in loads
            for peer in plan.peers
        ],
        ratios=[
            _ratio(other, load, figure, values(subject, load, figure), theirs)
            for other in others
            for load in loads
            for figure in COMPARED
            if all(theirs := values(other, load, figure))  # the scripted engine has no process: no ratio to zero
        ],
    )


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """An interval for the true median, with the probability that it holds it.

    Its ends are two of the values, equally far from the ends of their order: the narrowest such interval that reaches
    ``CONFIDENCE``, or the widest where none does. Nothing is assumed about how the values are distributed (the sign
    test turned round: each value is as likely above the median as below it).
    """
    ordered = sorted(values)
    count = len(ordered)
    interval = (ordered[0], ordered[-1], 0.0)
    below = 0.0  # the probability that at most ``trimmed`` values lie below the median
    for trimmed in range((count + 1) // 2):
        below += comb(count, trimmed) / 2**count
        coverage = 1 - 2 * below
        if trimmed and coverage < CONFIDENCE:
            break
        interval = (ordered[trimmed], ordered[-1 - trimmed], coverage)
    return interval


def _ratio(other: str, load: str, figure: str, ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    ratios = [round(mine / its, 4) for mine, its in zip(ours, theirs, strict=True)]
    low, high, coverage = median_interval(ratios)
    return Ratio(
        against=other,
        load=load,
        figure=figure,
        rounds=ratios,
        median=round(median(ratios), 4),
        low=low,
        high=high,
        coverage=round(coverage, 4),
    )
