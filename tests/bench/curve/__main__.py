"""``python -m tests.bench.curve``: what a token costs and a stream takes, with 1 to 1,000 streams."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import linear_regression, median

import click
from matplotlib.figure import Figure
from pydantic import BaseModel
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.bench import setting
from tests.bench.curve.points import INTERVAL_SECONDS, Point, measure
from tests.bench.ending import run_to_its_end
from tests.bench.plan import ROOT

KIB = 1024
PAPER_WIDTH = 120
"""Columns of a table that goes into a file."""


class Curve(BaseModel):
    """A run as JSON."""

    versions: dict[str, str]
    machine: dict[str, str | int | float | list[str]]
    interval_seconds: float
    """Between two tokens of a stream."""
    points: list[Point]
    kib_per_stream: list[float]
    kib_per_unread_stream: list[float]
    """Memory of the server for each stream more, round by round; empty where all points have as many streams."""


@click.command(context_settings={"show_default": True})
@click.option("--streams", default="1,4,16,64,256,1000", metavar="LIST", help="Numbers of streams, with commas.")
@click.option("--rounds", type=click.IntRange(1), default=3, help="Every other one goes from many streams to few.")
@click.option("--seconds", type=click.FloatRange(0.1), default=5.0, help="That each point is watched.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=ROOT / ".cache" / "bench" / "curve",
    show_default=".cache/bench/curve",
    help="Folder for results.json, results.svg and the logs.",
)
def main(*, streams: str, rounds: int, seconds: float, out: Path) -> None:
    """Measure the scripted engine's server with ever more streams at a large model's pace, read and not read.

    Each point has a server of its own, so that none inherits another one's memory. It takes about 15 seconds a point.
    """
    counts = tuple(click.IntRange(1, 1000).convert(count, None, None) for count in streams.split(","))
    points = run_to_its_end("curve", _run(counts, rounds, seconds, out))
    curve = Curve(
        versions=setting.versions(),
        machine=setting.machine(),
        interval_seconds=INTERVAL_SECONDS,
        points=points,
        kib_per_stream=_kib_a_stream(points, reads=True),
        kib_per_unread_stream=_kib_a_stream(points, reads=False),
    )
    _show(Console(width=None if sys.stdout.isatty() else PAPER_WIDTH), curve)
    (out / "results.json").write_text(curve.model_dump_json(indent=1) + "\n")
    _draw(curve, out / "results.svg")
    click.echo(out / "results.json")


async def _run(counts: Sequence[int], rounds: int, seconds: float, out: Path) -> list[Point]:
    plan = [(count, reads) for count in counts for reads in (True, False)]
    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    points = []
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=rounds * len(plan))
        for number in range(rounds):
            for count, reads in plan[:: -1 if number % 2 else 1]:
                name = f"{count} {'read' if reads else 'unread'}"
                progress.update(task, description=f"round {number + 1}, {name}")
                folder = out / "logs" / f"{number + 1}-{name.replace(' ', '-')}"
                points.append(
                    await measure(count, round_number=number + 1, reads=reads, seconds=seconds, folder=folder)
                )
                progress.advance(task)
    return points


def _kib_a_stream(points: Sequence[Point], *, reads: bool) -> list[float]:
    """The slope of each round's line of least squares, which leans on the many streams and not on the noise of few."""
    slopes = []
    for number in sorted({one.round for one in points}):
        of_round = [one for one in points if one.round == number and one.reads == reads]
        counts = [float(one.streams) for one in of_round]
        if len(set(counts)) > 1:
            grown = [KIB * (one.open_mib - one.idle_mib) for one in of_round]
            slopes.append(round(linear_regression(counts, grown).slope, 2))
    return slopes


def _of(points: Sequence[Point], figure: str, *, reads: bool) -> dict[int, float]:
    """By number of streams, the median of the rounds."""
    counts = sorted({one.streams for one in points})
    return {
        count: median(getattr(one, figure) for one in points if one.streams == count and one.reads == reads)
        for count in counts
    }


def _show(console: Console, curve: Curve) -> None:
    table = Table(title="One server, ever more streams", title_justify="left", box=box.SIMPLE_HEAD)
    for title in (
        "streams",
        "tokens/s",
        "of the pace",
        "CPU µs a token",
        "client",
        "MiB idle",
        "MiB read",
        "MiB unread",
    ):
        table.add_column(title, justify="right")
    read = {
        figure: _of(curve.points, figure, reads=True)
        for figure in ("tokens_per_second", "pace", "front_end_us_per_token", "client_share", "idle_mib", "open_mib")
    }
    unread = _of(curve.points, "open_mib", reads=False)
    for count, held in unread.items():
        speed, pace, cost, client, idle, open_mib = (figure[count] for figure in read.values())
        table.add_row(
            f"{count:,}", f"{speed:,.0f}", f"{pace:.0%}", f"{cost:,.1f}", f"{client:.0%}", f"{idle:,.1f}",
            f"{open_mib:,.1f}", f"{held:,.1f}",
        )  # fmt: skip
    console.print(table)
    for what, slopes in (("that is read", curve.kib_per_stream), ("that nobody reads", curve.kib_per_unread_stream)):
        if slopes:
            told = f"{median(slopes):,.1f} KiB (rounds: {min(slopes):,.1f} to {max(slopes):,.1f})"
            console.print(f"a stream {what} takes {told}")


def _draw(curve: Curve, path: Path) -> None:
    figure = Figure(figsize=(10, 4), layout="constrained")
    cost, memory = figure.subplots(1, 2)
    values = _of(curve.points, "front_end_us_per_token", reads=True)
    cost.plot(list(values), list(values.values()), marker="o")
    cost.set_title("CPU, µs a token")
    for reads, label in ((True, "read"), (False, "not read")):
        values = _of(curve.points, "open_mib", reads=reads)
        memory.plot(list(values), list(values.values()), marker="o", label=label)
    memory.set_title("memory, MiB")
    memory.legend()
    for panel in (cost, memory):
        panel.set_xscale("log")
        panel.set_ylim(bottom=0)
        panel.set_xlabel("streams")
        panel.grid(alpha=0.3)
    figure.savefig(path)


if __name__ == "__main__":
    main(prog_name="python -m tests.bench.curve")
