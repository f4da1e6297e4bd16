"""The results as a picture: each figure over the number of streams, with the range of the rounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from tests.bench.measured import Visit
from tests.bench.plan import Plan
from tests.bench.summary import FIGURES

PANELS = {
    "tokens_per_second": "tokens a second",
    "front_end_us_per_token": "front-end CPU, µs a token",
    "ttft_p50_ms": "time to first token, p50, ms",
    "gap_p99_ms": "gap between chunks, p99, ms",
}


def draw(plan: Plan, visits: Sequence[Visit], path: Path) -> None:
    """Write the picture; the path's ending says in which format."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    panels = figure.subplots(2, 2)
    for panel, (name, title) in zip(panels.flat, PANELS.items(), strict=True):
        for peer in plan.peers:
            rounds = [
                [
                    FIGURES[name](cell)
                    for visited in visits
                    if visited.peer == peer
                    for cell in visited.cells
                    if cell.streams == streams
                ]
                for streams in plan.streams
            ]
            middles = [sorted(values)[len(values) // 2] for values in rounds]
            (line,) = panel.plot(plan.streams, middles, marker="o", label=peer)
            panel.fill_between(
                plan.streams, [min(v) for v in rounds], [max(v) for v in rounds], alpha=0.2, color=line.get_color()
            )
        panel.set_title(title)
        panel.set_xscale("log", base=2)
        panel.set_xticks(plan.streams, [str(count) for count in plan.streams], minor=False)
        panel.set_ylim(bottom=0)
        panel.set_xlabel("streams")
        panel.grid(alpha=0.3)
    panels.flat[0].legend()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
