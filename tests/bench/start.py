"""From a server's start to its first token, and how fast it is then: palaver and vLLM's own server in turns.

    python -m tests.bench.start

Every peer is started with the same model and the same engine, in one run, each round in the other order. The
clock runs from the moment before the process is started until the first text of the first answer; the tokens a second
of a few streams afterwards show what a faster start may have cost. Prints a table, and writes every figure as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import get_args

import click
from rich.console import Console
from rich.table import Table

from tests.bench.peers import peer_named
from tests.bench.peers.peer import Client
from tests.bench.plan import ENGINE_FLAGS, ROOT, TINY_MODEL, Ask, EngineName, Engines, Plan
from tests.bench.processes import BenchError, Launcher
from tests.bench.same_engines import with_same_engines
from tests.bench.setting import machine, versions

PEERS = {"vllm": ("palaver", "vllm-openai"), "scripted": ("palaver",)}
"""By engine; the first is compared with the others."""
DEFAULT_OUT = ROOT / ".cache" / "bench" / "start.json"
STREAMS, TOKENS = 16, 128
"""Of the load after the start."""


@dataclass(frozen=True, slots=True)
class Start:
    """One start of one peer."""

    round: int
    peer: str
    ready_seconds: float
    """Until the server says that it is ready."""
    first_token_seconds: float
    tokens_per_second: float
    """Of all streams together, after as many answers that do not count."""


async def measure(plan: Plan, peer: str, round_number: int, folder: Path) -> Start:
    """Start a peer, ask it, load it, end it.

    Raises:
        BenchError: it does not start.
    """
    competitor = peer_named(peer)
    async with Launcher(folder) as launcher:
        began = perf_counter()
        found = await competitor.start(plan, launcher)
        ready = perf_counter() - began
        client = await competitor.connect(plan, found)
        try:
            answer = await client.answer(plan.first_cell().ask)
            first = answer.chunk_times[0] - began
            ask = Ask(conversation=plan.conversation, max_output_tokens=plan.tokens)
            await _load(client, ask, plan.streams[0])
            speed = await _load(client, ask, plan.streams[0])
        finally:
            await client.close()
    return Start(round_number, peer, round(ready, 3), round(first, 3), round(speed, 1))


async def _load(client: Client, ask: Ask, streams: int) -> float:
    """Tokens a second of so many answers at once."""
    began = perf_counter()
    answers = await asyncio.gather(*(client.answer(ask) for _ in range(streams)))
    return sum(answer.output_tokens for answer in answers) / (perf_counter() - began)


async def _run(plan: Plan, logs: Path) -> list[Start]:
    starts = []
    for number in range(1, plan.rounds + 1):
        for peer in plan.order(number):
            start = await measure(plan, peer, number, logs / f"start-{number}-{peer}")
            click.echo(f"round {number}, {peer}: first token after {start.first_token_seconds:.1f} s", err=True)
            starts.append(start)
    return starts


def table(plan: Plan, starts: list[Start]) -> Table:
    """Medians of each peer, and the ratio of the first to each of the others, round by round."""
    shown = Table("peer", "ready, s", "first token, s", "first token, ratio (range)", "tokens/s, ratio (range)")
    for column in shown.columns[1:]:
        column.justify = "right"
    first = [start for start in starts if start.peer == plan.peers[0]]
    for peer in plan.peers:
        own = [start for start in starts if start.peer == peer]
        waits = [a.first_token_seconds / b.first_token_seconds for a, b in zip(first, own, strict=True)]
        speeds = [a.tokens_per_second / b.tokens_per_second for a, b in zip(first, own, strict=True)]
        shown.add_row(
            peer,
            f"{median(start.ready_seconds for start in own):.1f}",
            f"{median(start.first_token_seconds for start in own):.1f}",
            *(("", "") if peer == plan.peers[0] else (_spread(waits), _spread(speeds))),
        )
    return shown


def _spread(ratios: list[float]) -> str:
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


@click.command(context_settings={"show_default": True})
@click.option("--engine", type=click.Choice(sorted(PEERS)), default="vllm", help="What every peer serves.")
@click.option("--engines", type=click.Choice(get_args(Engines)), default="same", help="As in the benchmark.")
@click.option("--model", default=str(TINY_MODEL), help="What vLLM loads: a folder or a name.")
@click.option("--rounds", type=click.IntRange(1), default=3, help="Starts of each peer.")
@click.option("--streams", type=click.IntRange(1), default=STREAMS, help="At once, after the start.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_OUT,
    show_default=".cache/bench/start.json",
)
@click.argument("engine_flags", nargs=-1, type=click.UNPROCESSED, metavar="[-- VLLM_FLAG...]")
def main(
    *,
    engine: EngineName,
    engines: Engines,
    model: str,
    rounds: int,
    streams: int,
    out: Path,
    engine_flags: tuple[str, ...],
) -> None:
    """Measure the time from a server's start to its first token. Leave the machine alone meanwhile."""
    plan = Plan(
        engine=engine,
        model=model,
        engines=engines,
        peers=PEERS[engine],
        streams=(streams,),
        rounds=rounds,
        minutes=60,
        tokens=TOKENS,
        engine_flags=(*ENGINE_FLAGS, *engine_flags),
    )
    plan, variables = with_same_engines(plan)
    os.environ.update(variables)
    try:
        starts = asyncio.run(_run(plan, out.parent / "logs"))
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    Console(width=None if sys.stdout.isatty() else 120).print(table(plan, starts))
    results = {
        "plan": plan.model_dump(mode="json"),
        "versions": versions(),
        "machine": machine(),
        "starts": [asdict(start) for start in starts],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    click.echo(out)


if __name__ == "__main__":
    main(prog_name="python -m tests.bench.start")
