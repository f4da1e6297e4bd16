"""The results as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench.plan import Plan
from tests.bench.summary import CONFIDENCE, Ratio, Row, Summary

Columns = dict[str, Callable[[dict[str, float]], str]]

COST: Columns = {
    "tokens/s": lambda of: f"{of['tokens_per_second']:,.0f}",
    "front-end\nµs/token": lambda of: f"{of['front_end_us_per_token']:,.1f}",
    "engine\nµs/token": lambda of: f"{of['engine_us_per_token']:,.0f}",
    "front-end\nMiB": lambda of: f"{of['front_end_mib']:,.0f}",
    "engine\nMiB": lambda of: f"{of['engine_mib']:,.0f}",
    "load client,\nof a core": lambda of: f"{of['client_share']:.0%}",
    "tokens\na chunk": lambda of: f"{of['tokens_per_chunk']:.2f}",
}
LATENCY: Columns = {
    "TTFT ms\np50 / p99": lambda of: f"{of['ttft_p50_ms']:,.1f} / {of['ttft_p99_ms']:,.1f}",
    "gap ms\np50 / p99 / max": lambda of: (
        f"{of['gap_p50_ms']:,.1f} / {of['gap_p99_ms']:,.1f} / {of['gap_max_ms']:,.1f}"
    ),
    "answer ms\np50 / p99": lambda of: f"{of['answer_p50_ms']:,.0f} / {of['answer_p99_ms']:,.0f}",
}
RATIOS = {
    "tokens_per_second": "tokens/s",
    "front_end_us_per_token": "front-end CPU a token",
    "engine_us_per_token": "engine CPU a token",
    "ttft_p50_ms": "TTFT p50",
    "ttft_p99_ms": "TTFT p99",
    "gap_p50_ms": "gap p50",
    "gap_p99_ms": "gap p99",
    "answer_p99_ms": "answer p99",
}
TENFOLD = 10
"""Ratios from here on need no decimals."""
SHORT_ANSWERS = 0.98
"""Answers that have less than this of the tokens asked for are worth a remark."""
CLIENT_IS_BUSY = 0.8
"""A load client that takes more of a core than this may be what is measured."""


def show(console: Console, plan: Plan, summary: Summary) -> None:
    """Print a run's results."""
    console.print(_figures("Throughput and cost", COST, plan, summary))
    console.print(_figures("Time at the client", LATENCY, plan, summary))
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
    same_length = {load.label for load in plan.loads if not load.is_mixed}
    for row in summary.rows:
        where, figures = f"{row.peer} at {row.load}", row.figures
        if row.load in same_length and figures["tokens_per_answer"] < SHORT_ANSWERS * plan.tokens:
            yield f"{where}: answers had {figures['tokens_per_answer']:.0f} tokens, not {plan.tokens}."
        if row.peer == plan.peers[0] and figures["client_share"] > CLIENT_IS_BUSY:
            yield f"{where}: the load client took {figures['client_share']:.0%} of a core and may be the bottleneck."


def _figures(title: str, columns: Columns, plan: Plan, summary: Summary) -> Table:
    rounds = "one round" if summary.rounds == 1 else f"medians of {summary.rounds} rounds"
    table = Table(title=f"{title}: {rounds}", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("streams", justify="right", no_wrap=True, min_width=7)
    table.add_column("peer", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for row in summary.rows:
        table.add_row(*_figure_cells(columns, plan, row), end_section=row.peer == plan.peers[-1])
    return table


def _figure_cells(columns: Columns, plan: Plan, row: Row) -> Iterator[str]:
    yield row.load if row.peer == plan.peers[0] else ""
    yield row.peer
    for form in columns.values():
        yield form(row.figures)


def _ratios(plan: Plan, summary: Summary, other: str) -> Table:
    ratios = {(ratio.load, ratio.figure): ratio for ratio in summary.ratios if ratio.against == other}
    table = Table(title=f"{plan.peers[0]} / {other}: {_certainty(summary)}", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("streams", no_wrap=True, min_width=max(map(len, RATIOS.values())))
    loads = [load.label for load in plan.loads]
    for load in loads:
        table.add_column(load, justify="right")
    for figure, title in RATIOS.items():
        table.add_row(title, *(_ratio_cell(ratios.get((load, figure))) for load in loads))
    return table


def _certainty(summary: Summary) -> str:
    coverage = min((ratio.coverage for ratio in summary.ratios), default=0.0)
    if coverage >= CONFIDENCE:
        return f"median and {coverage:.0%} interval of {summary.rounds} paired rounds"
    return "one round" if summary.rounds == 1 else f"median and range of {summary.rounds} rounds, {coverage:.0%} sure"


def _ratio_cell(ratio: Ratio | None) -> str:
    if ratio is None:
        return "-"
    if ratio.low == ratio.high:
        return _short(ratio.median)
    return f"{_short(ratio.median)} ({_short(ratio.low)} to {_short(ratio.high)})"


def _short(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < TENFOLD else f"{ratio:,.0f}"
