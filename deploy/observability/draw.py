"""Draws every dashboard from a Prometheus, a picture each, without Grafana: to look at panels after a change.

python deploy/observability/draw.py --prometheus http://127.0.0.1:9090 --since 15m --out pictures
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from deploy.observability.panels import DASHBOARDS, Panel

POINTS = 240
"""In a line, as a panel of some width has them."""
SCRAPES = 4
"""In a rate, as Grafana's $__rate_interval has them."""
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel."""

    legend: str
    times: list[float]
    """Seconds from the right end, so below 0."""
    values: list[float]


def lines_of(prometheus: str, panel: Panel, *, since: float, scrape_seconds: float) -> list[Line]:
    """Ask every query of a panel over the last seconds; values that are no numbers are left out."""
    end = time.time()
    found = []
    for query, legend in panel.queries:
        answer = ask(
            prometheus,
            "query_range",
            query=query.replace("$__rate_interval", f"{SCRAPES * scrape_seconds:g}s"),
            start=f"{end - since:.3f}",
            end=f"{end:.3f}",
            step=f"{max(since / POINTS, scrape_seconds):g}",
        )
        for series in answer["result"]:
            points = [(float(moment) - end, float(value)) for moment, value in series["values"]]
            points = [(moment, value) for moment, value in points if math.isfinite(value)]
            if points:
                times, values = map(list, zip(*points, strict=True))
                found.append(Line(_written(legend, series["metric"]), times, values))
    return found


def ask(prometheus: str, what: str, **parameters: str) -> Any:
    """Ask Prometheus's HTTP API.

    Raises:
        OSError: nobody answers there.
    """
    url = f"{prometheus}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  # an address that the operator gave
        return json.load(answer)["data"]


def draw(prometheus: str, folder: Path, *, since: float, scrape_seconds: float) -> list[str]:
    """Write a picture for each dashboard; return the panels that have no data."""
    import matplotlib as mpl  # noqa: PLC0415  # takes a second, and is for developers

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    empty = []
    for name, panels in DASHBOARDS.items():
        rows = math.ceil(len(panels) / 2)
        figure, axes = plt.subplots(rows, 2, figsize=(14, 3 * rows), squeeze=False, constrained_layout=True)
        figure.suptitle(f"palaver: {name}")
        for place, axis in enumerate(axes.flat):
            if place >= len(panels):
                axis.axis("off")
                continue
            panel = panels[place]
            lines = lines_of(prometheus, panel, since=since, scrape_seconds=scrape_seconds)
            if not lines:
                empty.append(f"{name}: {panel.title}")
            for line in lines:
                axis.plot(line.times, line.values, label=line.legend)
            axis.set_title(f"{panel.title} [{panel.unit}]", fontsize=10)
            axis.set_xlim(-since, 0)
            axis.set_ylim(0, 1.1 * max((value for line in lines for value in line.values), default=0) or 1)
            axis.grid(alpha=0.3)
            if lines:
                axis.legend(fontsize=7, loc="upper left")
        figure.savefig(folder / f"{name}.png", dpi=80)
        plt.close(figure)
    return empty


def _written(legend: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda label: labels.get(label[1], ""), legend)


def _seconds(text: str) -> float:
    number, unit = text[:-1], text[-1:]
    if unit not in SECONDS or not number.replace(".", "", 1).isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 90s, 15m or 6h")
    return float(number) * SECONDS[unit]


def main() -> int:
    """Draw, and name the panels that are empty."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", metavar="URL")
    parser.add_argument("--since", type=_seconds, default=900.0, metavar="TIME", help="how far back (default 15m)")
    parser.add_argument("--scrape", type=_seconds, default=10.0, metavar="TIME", help="scrape interval (default 10s)")
    parser.add_argument("--out", type=Path, default=Path("pictures"), metavar="FOLDER")
    chosen = parser.parse_args()
    try:
        empty = draw(chosen.prometheus, chosen.out, since=chosen.since, scrape_seconds=chosen.scrape)
    except OSError as error:
        sys.stderr.write(f"{chosen.prometheus} does not answer: {error}\n")
        return 1
    for panel in empty:
        sys.stdout.write(f"no data: {panel}\n")
    sys.stdout.write(f"{len(DASHBOARDS)} pictures in {chosen.out}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
