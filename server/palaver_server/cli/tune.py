"""``palaver tune``: finds settings that serve a traffic faster on this machine, by trying them."""

from __future__ import annotations

import asyncio
import shlex
import signal
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from palaver_server.cli.duration import Duration
from palaver_server.cli.errors import WrongUseError
from palaver_server.cli.options import SettingsCommand, given, settings_of
from palaver_server.machine.fitting import profile_for
from palaver_server.machine.profile import StartProfile
from palaver_server.settings import Settings, config_file
from palaver_server.tuning.traffic import TRAFFICS, Traffic

if TYPE_CHECKING:  # they import the client, which help does not need
    from palaver_server.tuning.knobs import Candidate
    from palaver_server.tuning.session import Outcome, Session, Step
    from palaver_server.tuning.trial import Trials

EXIT_INTERRUPTED = 130
TRIALS_IN_BUDGET = 30
"""A measurement takes that part of the budget, so that starts of seconds leave time for a search."""
LEAST_SECONDS, MOST_SECONDS = 0.5, 30.0
"""Of one measurement."""
WARM_UP_SHARE = 0.5
"""Of a measurement, before it: connections, allocators, the first batch."""
MAIN_OF_TUNE = ("engine", "model")


@click.command(
    cls=SettingsCommand,
    main=MAIN_OF_TUNE,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    epilog="Takes every option of `palaver serve`, vLLM's own flags too; what is set stays as it is. Ctrl-C keeps the "
    "best so far.\n\n"
    "\b\n"
    "Examples:\n"
    "  palaver tune --dry-run --model glm-4.5-air-fp8\n"
    "  palaver tune --traffic long-context --budget 30m --model zai-org/GLM-4.5-Air-FP8",
)
@click.option("--dry-run", is_flag=True, help="Show what a start chooses for this machine, and why; start nothing.")
@click.option("--traffic", type=click.Choice(list(TRAFFICS)), default="chat", show_default=True, help="What is asked.")
@click.option("--prompt-tokens", metavar="N", type=click.IntRange(1, 1_000_000), help="Of a typical prompt.")
@click.option("--output-tokens", metavar="N", type=click.IntRange(1, 1_000_000), help="Of an answer.")
@click.option("--streams", metavar="N", type=click.IntRange(1, 4096), help="Callers at once.")
@click.option(
    "--rate", metavar="NUMBER", type=click.FloatRange(0, 10_000, min_open=True), help="Calls a second at random times."
)
@click.option(
    "--ttft-bound", metavar="SECONDS", type=click.FloatRange(0, 3600, min_open=True), help="Seconds to a first token."
)
@click.option("--budget", type=Duration(), default="10m", show_default=True, help="Time for all of it.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    default="palaver-tuned.toml",
    show_default=True,
    help="The settings file to write.",
)
@click.option("--force", is_flag=True, help="Write it over a file that is there.")
@click.pass_context
def tune(
    context: click.Context, /, dry_run: bool, budget: timedelta, output: Path, force: bool, **parameters: Any
) -> None:
    """Try settings on this machine, and write those that answer a traffic fastest.

    Starts the server again and again, asks it, and counts tokens a second of answers that begin in time. What was
    found is compared with the defaults once more before it is told, and is written only if it gains.
    """
    settings = settings_of(parameters)
    profile = profile_for(settings, tuple(context.args))
    if dry_run:
        _show(profile)
        return
    if output.exists() and not force:
        raise WrongUseError(f"{output} is there already: give another --output, or --force.")
    traffic = _traffic(parameters)
    from palaver_server.tuning.knobs import knobs_for  # noqa: PLC0415  # with what follows, for help's sake
    from palaver_server.tuning.session import Session  # noqa: PLC0415
    from palaver_server.tuning.trial import TrialError, Trials  # noqa: PLC0415

    knobs = knobs_for(settings, tuple(context.args), profile)
    if not knobs:
        raise WrongUseError("Everything that could be tuned is set by hand.")
    seconds = min(MOST_SECONDS, max(LEAST_SECONDS, budget.total_seconds() / TRIALS_IN_BUDGET))
    trials = Trials(settings, context.args, traffic, knobs, warm_up=seconds * WARM_UP_SHARE, seconds=seconds)
    session = Session(trials, knobs, budget.total_seconds(), starting=_tell_start, done=_tell_step)
    click.echo(f"Tuning {', '.join(knob.name for knob in knobs)} for {_described(traffic)}.", err=True)
    try:
        outcome = asyncio.run(_interruptible(session))
    except TrialError as error:
        raise click.ClickException(f"{error}.") from error
    _conclude(trials, outcome, output, _serve_command(context, settings, output, parameters))
    if outcome.is_interrupted:
        raise click.exceptions.Exit(EXIT_INTERRUPTED)


async def _interruptible(session: Session) -> Outcome:
    """Run; a signal ends the trial under way, its server, and the search."""
    running = asyncio.create_task(session.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.cancel)
    await asyncio.wait({running})
    # Cancelled before its first step, it has nothing to tell.
    return session.outcome if running.cancelled() else running.result()


def _traffic(parameters: dict[str, Any]) -> Traffic:
    names = ("prompt_tokens", "output_tokens", "streams", "rate", "ttft_bound")
    by_hand = {name: parameters[name] for name in names if parameters[name] is not None}
    return replace(TRAFFICS[parameters["traffic"]], **by_hand)


def _conclude(trials: Trials, outcome: Outcome, output: Path, serve_command: str) -> None:
    """Tell what was gained, and write it where it was."""
    gain = outcome.gain
    if not outcome.best:
        if outcome.trials < 2 and not outcome.is_interrupted:  # noqa: PLR2004  # the defaults and something else
            click.echo("Starting and measuring took all the time that a search has: give a longer --budget.")
        else:
            click.echo(f"Nothing that was tried beats the defaults by more than 2 % ({outcome.trials} trials).")
        return
    found = _values(outcome.best)
    if gain is None:
        told = f"{found}: better in the search, and not compared with the defaults once more"
        click.echo(f"{told}{'' if outcome.is_interrupted else '; a longer --budget has time for it'}.")
    else:
        times = "start" if gain.starts == 1 else "starts"
        told = (
            f"{found}: {gain.ratio:.2f} times the tokens/s of the defaults "
            f"(95 % interval {gain.low:.2f} to {gain.high:.2f}, {gain.starts} {times} of each)"
        )
        click.echo(f"{told}.")
        if not gain.is_sure:
            click.echo("That may be chance: nothing is written. A longer --budget tells more surely.")
            return
    from palaver_server.tuning.settings_file import with_values, write_whole  # noqa: PLC0415

    ours, vllm = trials.split(outcome.best)
    base = config_file()
    remark = f"Found by `palaver tune` on {time.strftime('%Y-%m-%d')}.\n{told}."
    write_whole(output, with_values(base.read_text(encoding="utf-8") if base.is_file() else "", ours, vllm, remark))
    click.echo(f"Written: {output}. Serve with it:\n  {serve_command}")


def _serve_command(context: click.Context, settings: Settings, output: Path, parameters: dict[str, Any]) -> str:
    words = ["palaver", "serve", "--config", str(output)]
    for name in given(parameters):
        flag, value = name.replace("_", "-"), getattr(settings, name)
        words += [f"--{flag}" if value else f"--no-{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    return shlex.join([*words, *context.args])


def _tell_start(candidate: Candidate) -> None:
    click.echo(f"{'':>7} trying {_values(candidate)} ...", err=True)


def _tell_step(step: Step) -> None:
    clock = f"{int(step.seconds) // 60}:{int(step.seconds) % 60:02}"
    if isinstance(step.result, str):
        click.echo(f"{clock:>7} {_values(step.candidate)}: {step.result}", err=True)
        return
    measured, ttft = step.result, step.result.ttft_p95
    first = "no first token meanwhile" if ttft is None else f"first token within {ttft:.2f} s (p95)"
    failed = f", {measured.failures} calls failed ({measured.failure})" if measured.failures else ""
    told = f"{measured.tokens_per_second:,.0f} tokens/s, {first}{failed}{' (comparison)' if step.is_comparison else ''}"
    click.echo(f"{clock:>7} {_values(step.candidate)}: {told}", err=True)


def _values(candidate: Candidate) -> str:
    told = (f"{name} {value if isinstance(value, int) else f'{value:g}'}" for name, value in candidate.items())
    return ", ".join(told) or "the defaults"


def _described(traffic: Traffic) -> str:
    asked = f"prompts of {traffic.prompt_tokens:,} tokens, answers of {traffic.output_tokens:,}"
    callers = f"{traffic.streams} callers" if traffic.rate is None else f"{traffic.rate:g} calls a second"
    return f"{asked}, {callers}, first tokens within {traffic.ttft_bound:g} s"


def _show(profile: StartProfile | None) -> None:
    """One line a value."""
    if profile is None:
        click.echo("Nothing is chosen: --start-profile is off, or the engine runs no model.")
        return
    click.secho(f"Start profile for {profile.machine}", bold=True)
    if profile.choices:
        names = max(len(choice.name) for choice in profile.choices)
        values = max(len(str(choice.value)) for choice in profile.choices)
        for choice in profile.choices:
            click.echo(f"  {choice.name:<{names}}  {choice.value!s:<{values}}  {choice.reason}")
    for name in profile.kept:
        click.echo(f"  {name}: set by hand, and kept")
    for note in profile.notes:
        click.echo(f"  {note}")
    if profile.trouble:
        click.secho(f"  This will hardly run: {profile.trouble}.", fg="yellow")
    for name, value in profile.environment.items():
        click.echo(f"  {name}={value}")
