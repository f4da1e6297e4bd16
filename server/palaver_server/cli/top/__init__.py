"""``palaver top``: what a server is doing, from its metrics port alone."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime

import click
from rich.console import Console

from palaver_server.cli.top import view
from palaver_server.cli.top.figures import Figures, figures_of
from palaver_server.cli.top.scrape import Interval, Scrape, ScrapeError, scrape
from palaver_server.cli.top.screen import Screen
from palaver_server.settings import DEFAULT_METRICS_LISTEN

EXIT_UNREACHABLE = 3


@click.command(
    epilog="\b\n"
    "Keys: q quits, space holds the figures, w takes another window for rates and\n"
    "quantiles (10 s, 1 min, 5 min).\n"
    "Exit codes: 0, 2 wrong use, 3 nobody answers.\n\n"
    "\b\n"
    "Examples:\n"
    "  palaver top\n"
    "  palaver top --metrics http://10.0.0.7:9464/metrics --every 5\n"
    "  palaver top --json | jq '.first_token.p95'",
)
@click.option(
    "--metrics",
    metavar="URL",
    default=f"http://{DEFAULT_METRICS_LISTEN}/metrics",
    show_default=True,
    help="The metrics port: a URL, or HOST:PORT.",
)
@click.option(
    "--every",
    metavar="SECONDS",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    help="Between looks.",
)
@click.option("--once", is_flag=True, help="Print one frame, of what happens in --every seconds, and end.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON object a look, one a line; with --once a single one."
)
def top(metrics: str, every: float, once: bool, as_json: bool) -> None:
    """Watch a server: load, tokens, latency, failures, clients, engine.

    Asks its metrics port and nothing else, so it works on any palaver that can be reached. Rates are of the last
    seconds; what fails at the edge counts too. Where standard output is no terminal it prints one frame.
    """
    url = _url(metrics)
    try:
        first = scrape(url)
        if "palaver_ready" not in first:
            raise ScrapeError(f"{url} tells figures, but they are not palaver's; Envoy's own are at another port.")
        if as_json:
            _print_lines(url, every, first, once=once)
        elif once or not sys.stdout.isatty():
            figures, _ = _next(url, every, first)
            console = Console()
            console.print(view.frame(figures, console, address=url))
        else:
            Screen(url, every, first).run(Console())
    except ScrapeError as error:
        click.echo(f"Error: {error} Is it running, and is --metrics-listen set there?", err=True)
        raise click.exceptions.Exit(EXIT_UNREACHABLE) from None


def _print_lines(url: str, every: float, before: Scrape, *, once: bool) -> None:
    while True:
        figures, before = _next(url, every, before)
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        click.echo(json.dumps({"time": moment, **asdict(figures)}))
        if once:
            return


def _next(url: str, every: float, before: Scrape) -> tuple[Figures, Scrape]:
    time.sleep(every)
    after = scrape(url)
    return figures_of(Interval(before, after)), after


def _url(given: str) -> str:
    """A URL of what was given: ``HOST:PORT``, ``http://HOST:PORT`` or the whole."""
    url = given if "://" in given else f"http://{given}"
    scheme, _, rest = url.partition("://")
    if scheme not in ("http", "https") or not rest.partition("/")[0]:
        raise click.UsageError(f"--metrics: {given!r} is none; write http://HOST:PORT/metrics or HOST:PORT.")
    return url if "/" in rest else f"{url}/metrics"
