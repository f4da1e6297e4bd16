"""``python -m tests.bench.endurance``: a day's calls in one run."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.bench import setting
from tests.bench.clocks import Processes
from tests.bench.ending import run_to_its_end
from tests.bench.endurance import report
from tests.bench.endurance.report import Results
from tests.bench.endurance.run import Run
from tests.bench.peers.palaver_grpc import start_server
from tests.bench.plan import ENGINE_FLAGS, ROOT, TINY_MODEL
from tests.bench.processes import Launcher

SCRIPTED_INTERVAL = 0.005
"""Seconds a token: about that of a small model."""
EXIT_UNEXPLAINED = 1
EXIT_FAILED = 2


class Settings(BaseModel):
    """What a run is asked to do."""

    engine: str
    model: str
    calls: int
    callers: int
    room: int
    seed: int


class Told(BaseModel):
    """A run as JSON."""

    versions: dict[str, str]
    machine: dict[str, str | int | float | list[str]]
    settings: Settings
    results: Results


@click.command(context_settings={"show_default": True})
@click.option("--calls", type=click.IntRange(10), default=100_000, help="In all.")
@click.option("--callers", type=click.IntRange(1, 1000), default=64, help="At once.")
@click.option("--room", type=click.IntRange(1, 1000), default=48, help="Calls that the server lets in at once.")
@click.option("--engine", type=click.Choice(["vllm", "scripted"]), default="vllm", help="What the server serves.")
@click.option("--model", default=str(TINY_MODEL), help="What vLLM loads: a folder or a name. Not for scripted.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of what is asked, and of who leaves when.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=ROOT / ".cache" / "bench" / "endurance",
    show_default=".cache/bench/endurance",
    help="Folder for results.json, results.svg and the log.",
)
def main(*, out: Path, **options: object) -> None:
    """Make many calls of all kinds, and see that each comes to what it must and that the server does not grow.

    Four in ten are unary, four are streamed, one is left by its caller after the first token, one must be refused. With
    fewer places than callers, some are turned away now and then, and come again when told to. The exit status is 1
    where a call came to anything else.
    """
    settings = Settings.model_validate(options)
    results = run_to_its_end("endurance", _run(settings, out), exit_failed=EXIT_FAILED)
    told = Told(versions=setting.versions(), machine=setting.machine(), settings=settings, results=results)
    report.show(Console(), results)
    (out / "results.json").write_text(told.model_dump_json(indent=1) + "\n")
    report.draw(results, out / "results.svg")
    click.echo(out / "results.json")
    sys.exit(EXIT_UNEXPLAINED if results.unexplained_count else 0)


async def _run(settings: Settings, out: Path) -> Results:
    columns = (TextColumn("calls"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    async with Launcher(out / "logs") as launcher:
        address, pid = await _start(launcher, settings)
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("", total=settings.calls)
            run = Run(
                address,
                Processes.of(pid),
                calls=settings.calls,
                callers=settings.callers,
                seed=settings.seed,
                done=lambda: progress.advance(task),
            )
            return await run.to_its_end()


async def _start(launcher: Launcher, settings: Settings) -> tuple[str, int]:
    """Start the server and wait for its model; its address and its process."""
    command = [sys.executable, "-m", "palaver_server", "serve", "--listen", "127.0.0.1:0", "--log-format", "json"]
    command += ["--metrics-listen", "127.0.0.1:0", "--max-concurrent-requests", str(settings.room)]
    command += ["--max-queued-requests", str(settings.room // 8)]
    if settings.engine == "vllm":
        command += ["--model", settings.model, *ENGINE_FLAGS]
    else:
        command += ["--engine", "scripted", "--scripted-tokens", "24", "--scripted-interval", str(SCRIPTED_INTERVAL)]
    return await start_server(launcher, command)


if __name__ == "__main__":
    main(prog_name="python -m tests.bench.endurance")
