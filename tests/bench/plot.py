"""The results as a picture: each figure over the load, with the range of the rounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from matplotlib.figure import Figure

from tests.bench.measured import Visit
from tests.bench.plan import Plan
from tests.bench.summary import FIGURES

PANELS = {
    "tokens_per_second": "tokens a second",
    "front_end_us_per_token": "front-end CPU, µs a token",
    "front_end_mib": "front-end memory, MiB",
    "ttft_p50_ms": "time to first token, p50, ms",
    "gap_p99_ms": "gap between chunks, p99, ms",
    "answer_p99_ms": "whole answer, p99, ms",
}


def draw(plan: Plan, visits: Sequence[Visit], path: Path) -> None:
    """Write the picture; the path's ending says in which format."""
    figure = Figure(figsize=(15, 7), layout="constrained")
    panels = figure.subplots(2, 3)
    labels = [load.label for load in plan.loads]
    places = range(len(labels))
    for panel, (name, title) in zip(panels.flat, PANELS.items(), strict=True):
        for peer in plan.peers:
            rounds = [
                [
                    FIGURES[name](cell)
                    for visited in visits
                    if visited.peer == peer
                    for cell in visited.cells
                    if cell.load == label
                ]
                for label in labels
            ]
            (line,) = panel.plot(places, [median(values) for values in rounds], marker="o", label=peer)
            panel.fill_between(
                places, [min(v) for v in rounds], [max(v) for v in rounds], alpha=0.2, color=line.get_color()
            )
        panel.set_title(title)
        panel.set_xticks(places, labels)
        panel.set_ylim(bottom=0)
        panel.set_xlabel("streams; with %: arrivals at random, of capacity" if plan.arrivals else "streams")
        panel.grid(alpha=0.3)
    panels.flat[0].legend()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
