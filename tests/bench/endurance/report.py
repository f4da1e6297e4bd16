"""What a run came to: as figures, as a table, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from pydantic import BaseModel
from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench.endurance.calls import Kind
from tests.bench.endurance.watch import Look
from tests.bench.measured import Spread
from tests.bench.slope import Slope, slope_of

TUTORIAL = {"calls/s": "50 to 80", "p99 ms": "150 to 300"}
"""What the tutorial that palaver sets out from claims for its service."""
SETTLED = 0.25
"""Of the calls, before memory is asked whether it grows: pools and caches fill at first."""
PER = 1000
"""Calls that a slope is told for."""


class Outcome(BaseModel):
    """The calls of one kind that came to what they must."""

    kind: Kind
    count: int
    milliseconds: Spread

    @classmethod
    def of(cls, kind: Kind, seconds: Sequence[float]) -> Outcome:
        """Sum their times up."""
        return cls(kind=kind, count=len(seconds), milliseconds=Spread.of(seconds))


class Results(BaseModel):
    """One run."""

    seconds: float
    calls_per_second: float
    outcomes: list[Outcome]
    answered_ms: Spread
    """Of whole answers, unary and streamed."""
    turned_away: int
    """Tries that met a full server, which said when to come again. Their callers did."""
    unexplained_count: int
    unexplained: dict[str, int]
    """The most frequent, with how often."""
    server_cpu_ms_per_call: float
    client_cpu_share: float
    """Of one core: a client near 1 would be what is measured."""
    front_end_mib_per_1000_calls: Slope | None
    engine_mib_per_1000_calls: Slope | None
    descriptors_per_1000_calls: Slope | None
    """How they grow after the first quarter of the run; None for a run too short to tell."""
    looks: list[Look]


def results_of(
    *,
    seconds: float,
    outcomes: list[Outcome],
    all_seconds: Sequence[float],
    turned_away: int,
    unexplained: dict[str, int],
    unexplained_count: int,
    server_cpu_seconds: float,
    client_cpu_seconds: float,
    looks: list[Look],
) -> Results:
    """Sum a run up."""
    calls = sum(outcome.count for outcome in outcomes) + unexplained_count
    settled = [one for one in looks if one.calls >= SETTLED * calls]

    def growth(figure: str) -> Slope | None:
        return slope_of([(one.calls / PER, getattr(one, figure)) for one in settled])

    return Results(
        seconds=round(seconds, 3),
        calls_per_second=round(calls / seconds, 2),
        outcomes=outcomes,
        answered_ms=Spread.of(all_seconds),
        turned_away=turned_away,
        unexplained_count=unexplained_count,
        unexplained=unexplained,
        server_cpu_ms_per_call=round(1e3 * server_cpu_seconds / calls, 3),
        client_cpu_share=round(client_cpu_seconds / seconds, 3),
        front_end_mib_per_1000_calls=growth("front_end_mib"),
        engine_mib_per_1000_calls=growth("engine_mib"),
        descriptors_per_1000_calls=growth("descriptors"),
        looks=looks,
    )


def show(console: Console, results: Results) -> None:
    """Print it."""
    table = Table(title="Calls by what they came to", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("calls")
    for title in ("count", "p50 ms", "p99 ms", "max ms"):
        table.add_column(title, justify="right")
    for outcome in results.outcomes:
        table.add_row(outcome.kind, f"{outcome.count:,}", *_times(outcome.milliseconds))
    table.add_row("unexplained", f"{results.unexplained_count:,}", end_section=True)
    table.add_row("whole answers", "", *_times(results.answered_ms))
    table.add_row("the tutorial's", "", "", TUTORIAL["p99 ms"])
    console.print(table)
    console.print(f"{results.calls_per_second:,.1f} calls/s; the tutorial's service: {TUTORIAL['calls/s']}")
    console.print(f"{results.turned_away:,} tries met a full server and came again when told to")
    console.print(
        f"CPU: the server {results.server_cpu_ms_per_call:.2f} ms a call, "
        f"the callers {results.client_cpu_share:.0%} of a core"
    )
    last = results.looks[-1]
    _tell_growth(console, "server's memory", f"{last.front_end_mib:,.1f} MiB", results.front_end_mib_per_1000_calls)
    _tell_growth(console, "engine's memory", f"{last.engine_mib:,.1f} MiB", results.engine_mib_per_1000_calls)
    _tell_growth(console, "descriptors", f"{last.descriptors}", results.descriptors_per_1000_calls)
    for what, count in results.unexplained.items():
        console.print(f"[red]{count} times: {what}[/]", markup=True, highlight=False)


def draw(results: Results, path: Path) -> None:
    """Memory and descriptors over the calls."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    memory, descriptors = figure.subplots(1, 2)
    calls = [one.calls for one in results.looks]
    memory.plot(calls, [one.front_end_mib for one in results.looks], label="server")
    memory.plot(calls, [one.engine_mib for one in results.looks], label="engine")
    memory.set_title("memory, MiB")
    memory.legend()
    descriptors.plot(calls, [one.descriptors for one in results.looks], label="descriptors")
    descriptors.plot(calls, [one.threads for one in results.looks], label="threads")
    descriptors.set_title("open in the server")
    descriptors.legend()
    for panel in (memory, descriptors):
        panel.set_xlabel("calls")
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    figure.savefig(path)


def _times(spread: Spread) -> tuple[str, str, str]:
    return f"{spread.p50:,.1f}", f"{spread.p99:,.1f}", f"{spread.max:,.1f}"


def _tell_growth(console: Console, what: str, at_the_end: str, slope: Slope | None) -> None:
    if slope is None:
        console.print(f"{what}: {at_the_end} at the end; too few looks to say whether it grows")
        return
    console.print(
        f"{what}: {at_the_end} at the end; "
        f"a thousand calls add {slope.median:+.3f} ({slope.low:+.3f} to {slope.high:+.3f})",
        soft_wrap=True,
    )
