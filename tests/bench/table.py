"""The results as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table

from tests.bench.plan import Plan
from tests.bench.summary import CONFIDENCE, Ratio, Summary

FIGURE_COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "tokens_per_second": ("tokens/s", "{:,.0f}".format),
    "front_end_us_per_token": ("front-end CPU\nµs/token", "{:,.1f}".format),
    "engine_us_per_token": ("engine CPU\nµs/token", "{:,.0f}".format),
    "client_share": ("load client\nof one core", "{:.0%}".format),
    "ttft_p50_ms": ("TTFT ms\np50", "{:,.1f}".format),
    "ttft_p99_ms": ("\np99", "{:,.1f}".format),
    "gap_p50_ms": ("gap ms\np50", "{:,.1f}".format),
    "gap_p99_ms": ("\np99", "{:,.1f}".format),
    "gap_max_ms": ("\nmax", "{:,.1f}".format),
    "tokens_per_chunk": ("tokens\na chunk", "{:.2f}".format),
}
RATIO_COLUMNS = {
    "tokens_per_second": "tokens/s",
    "front_end_us_per_token": "front-end CPU",
    "ttft_p50_ms": "TTFT p50",
    "ttft_p99_ms": "TTFT p99",
    "gap_p50_ms": "gap p50",
    "gap_p99_ms": "gap p99",
}
SHORT_ANSWERS = 0.98
"""Answers that have less than this of the tokens asked for are worth a remark."""


def show(console: Console, plan: Plan, summary: Summary) -> None:
    """Print a run's results."""
    console.print(_figures(plan, summary))
    for other in plan.peers[1:]:
        console.print(_ratios(plan, summary, other))
    for peer, seconds in summary.start_seconds.items():
        console.print(f"{peer}: {seconds:.1f} s from its start to a first answer")
    for remark in remarks(plan, summary):
        console.print(f"[yellow]{remark}[/]")


def remarks(plan: Plan, summary: Summary) -> Iterator[str]:
    """What makes the figures less than they seem."""
    if summary.rounds < plan.rounds:
        yield f"Only {summary.rounds} of {plan.rounds} rounds fitted into {plan.minutes:g} minutes."
    for row in summary.rows:
        answer = row.figures["tokens_per_answer"]
        if answer < SHORT_ANSWERS * plan.tokens:
            yield f"{row.peer} at {row.streams} streams: answers had {answer:.0f} tokens, not {plan.tokens}."


def _figures(plan: Plan, summary: Summary) -> Table:
    table = Table(title=f"Median of {summary.rounds} rounds", title_justify="left")
    table.add_column("streams", justify="right", vertical="bottom")
    table.add_column("peer", vertical="bottom")
    for title, _ in FIGURE_COLUMNS.values():
        table.add_column(title, justify="right")
    for row in summary.rows:
        table.add_row(
            str(row.streams) if row.peer == plan.peers[0] else "",
            row.peer,
            *(form(row.figures[figure]) for figure, (_, form) in FIGURE_COLUMNS.items()),
            end_section=row.peer == plan.peers[-1],
        )
    return table


def _ratios(plan: Plan, summary: Summary, other: str) -> Table:
    ratios = {(ratio.streams, ratio.figure): ratio for ratio in summary.ratios if ratio.against == other}
    coverage = min((ratio.coverage for ratio in ratios.values()), default=0.0)
    what = "median and 95 % interval" if coverage >= CONFIDENCE else f"median and range, which covers {coverage:.0%}"
    table = Table(title=f"{plan.peers[0]} / {other}: {what}", title_justify="left")
    table.add_column("streams", justify="right")
    for title in RATIO_COLUMNS.values():
        table.add_column(title, justify="right")
    for streams in plan.streams:
        table.add_row(str(streams), *(_cell(ratios.get((streams, figure))) for figure in RATIO_COLUMNS))
    return table


def _cell(ratio: Ratio | None) -> str:
    return "-" if ratio is None else f"{ratio.median:.2f}  ({ratio.low:.2f} to {ratio.high:.2f})"
