"""``python -m tests.bench``: measures palaver against the bare engine, in paired rounds of one run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.bench import plan as defaults
from tests.bench import table
from tests.bench.ending import run_to_its_end
from tests.bench.measured import Visit
from tests.bench.peers import MODULES, peer_named
from tests.bench.plan import MAX_STREAMS, ROOT, Engines, Plan
from tests.bench.report import Report, write
from tests.bench.rounds import run_rounds
from tests.bench.same_engines import with_same_engines

BARE_ENGINE = {"vllm": "raw", "scripted": "scripted"}
DEFAULT_OUT = ROOT / ".cache" / "bench"
QUICK_OPTIONS = {"streams": "1,4", "rounds": 1, "tokens": 16}
QUICK_ANSWERS = {"min_answers": 1, "min_answers_per_stream": 2}
PAPER_WIDTH = 120
"""Columns of a table that goes into a file."""


class _Listed(click.ParamType[tuple[Any, ...]]):
    """Values with commas between them."""

    name = "list"

    def __init__(self, each: click.ParamType[Any]) -> None:
        self._each = each

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        return tuple(self._each.convert(part.strip(), param, ctx) for part in str(value).split(","))


def _be_quick(context: click.Context, _: click.Parameter, quick: bool) -> bool:
    if quick:
        context.default_map = QUICK_OPTIONS
    return quick


@click.command(context_settings={"show_default": True})
@click.option("--engine", type=click.Choice(sorted(BARE_ENGINE)), default="vllm", help="What every peer serves.")
@click.option(
    "--model", default=str(defaults.TINY_MODEL), help="What vLLM loads: a folder or a name. Not for scripted."
)
@click.option(
    "--peers",
    type=_Listed(click.Choice(sorted(MODULES))),
    show_default="palaver and the bare engine",
    help=f"The first is compared with each other one. There are {', '.join(MODULES)}.",
)
@click.option(
    "--engines",
    type=click.Choice(get_args(Engines)),
    default="same",
    help="Same: every peer's vLLM gets what palaver chooses for this machine. Own: only the flags of all peers.",
)
@click.option("--streams", type=_Listed(click.IntRange(1, MAX_STREAMS)), default="1,16,64,192", help="Streams at once.")
@click.option("--rounds", type=click.IntRange(1), default=6, help="Six are the fewest that give a 95 % interval.")
@click.option("--tokens", type=click.IntRange(2), default=128, help="Output tokens of each answer.")
@click.option(
    "--arrivals",
    type=_Listed(click.IntRange(1, 100)),
    show_default="none",
    help="Also callers who arrive at random, with mixed lengths, at these percentages of what palaver can answer.",
)
@click.option(
    "--prefix",
    type=click.Choice(["warm", "cold"]),
    default="warm",
    help="Cold: no prompt begins like another one, so the engine's prefix cache does not help.",
)
@click.option("--turns", type=click.IntRange(1, 20), default=1, help="Exchanges before the question, 54 tokens each.")
@click.option("--minutes", type=click.FloatRange(0), default=18.0, help="No round begins that would end later.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_OUT,
    show_default=".cache/bench",
    help="Folder for results.json, results.svg and the logs.",
)
@click.option(
    "--quick",
    is_flag=True,
    is_eager=True,
    callback=_be_quick,
    help="One short round of 1 and 4 streams, unless told otherwise: shows that it runs, not how fast.",
)
@click.argument("engine_flags", nargs=-1, type=click.UNPROCESSED, metavar="[-- VLLM_FLAG...]")
def main(
    *,
    engine: str,
    peers: tuple[str, ...] | None,
    arrivals: tuple[int, ...] | None,
    out: Path,
    quick: bool,
    engine_flags: tuple[str, ...],
    **settings: object,
) -> None:
    """Measure palaver against the bare engine.

    Tables go to standard output, all figures and a picture into a folder. Leave the machine alone meanwhile.
    """
    plan = Plan.model_validate(
        {
            "engine": engine,
            "peers": peers or ("palaver", BARE_ENGINE[engine]),
            "engine_flags": (*defaults.ENGINE_FLAGS, *engine_flags),
            "arrivals": arrivals or (),
            **settings,
            **(QUICK_ANSWERS if quick else {}),
        }
    )
    _refuse_what_does_not_fit(plan, engine_flags)
    plan, variables = with_same_engines(plan)
    os.environ.update(variables)
    visits = run_to_its_end("bench", _run(plan, out / "logs"))
    report = Report.of(plan, visits)
    table.show(Console(width=None if sys.stdout.isatty() else PAPER_WIDTH), plan, report.summary)
    for path in write(report, out):
        click.echo(path)


def _refuse_what_does_not_fit(plan: Plan, engine_flags: tuple[str, ...]) -> None:
    if engine_flags and plan.engine != "vllm":
        raise click.UsageError(f"{engine_flags[0]} is for vLLM, and the {plan.engine} engine was asked for.")
    for name in plan.peers:
        if plan.engine not in peer_named(name).engines:
            raise click.UsageError(f"--peers: {name} cannot serve --engine {plan.engine}.")
        if plan.peers.count(name) > 1:
            raise click.UsageError(f"--peers: {name} stands there twice.")


async def _run(plan: Plan, logs: Path) -> list[Visit]:
    columns = (TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        return await run_rounds(plan, logs, _teller(progress, plan))


def _teller(progress: Progress, plan: Plan) -> Callable[[str], None]:
    """Moves the bar; where there is no terminal, each step is a line."""
    task = progress.add_task("", total=plan.rounds * len(plan.peers) * (1 + len(plan.loads)), completed=-1)

    def tell(step: str) -> None:
        progress.update(task, advance=1, description=step)
        if not progress.console.is_terminal:
            progress.console.print(step)

    return tell


if __name__ == "__main__":
    main(prog_name="python -m tests.bench")
