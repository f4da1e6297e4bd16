"""``palaver doctor``: what this machine has, what would go wrong, and what to do about it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from palaver_server import __version__
from palaver_server.cli.checkup import CHECKS, Finding, Level, examine
from palaver_server.cli.errors import EXIT_FAILURE
from palaver_server.cli.options import SettingsCommand, settings_of

COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}


@click.command(
    cls=SettingsCommand,
    epilog="Exit codes: 0 without problems (there may be warnings), 1 with a problem, 2 wrong use.\n\n"
    "\b\n"
    "Examples:\n"
    "  palaver doctor\n"
    "  palaver doctor --model glm-4.5-air-fp8 --listen 0.0.0.0:50051 --json",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def doctor(as_json: bool, **parameters: Any) -> None:
    """Look at this machine and say what would go wrong.

    Takes the flags of `palaver serve` and looks at what a server with them would meet. Changes nothing.
    """
    settings = settings_of(parameters)
    findings = {name: examine(name, settings) for name in CHECKS}
    if as_json:
        checks = [{"name": name, **asdict(finding)} for name, finding in findings.items()]
        click.echo(json.dumps({"palaver": __version__, "checks": checks}, indent=2))
    else:
        _show(findings)
    if any(finding.level is Level.PROBLEM for finding in findings.values()):
        raise click.exceptions.Exit(EXIT_FAILURE)


def _show(findings: dict[str, Finding]) -> None:
    width = max(map(len, findings))
    for name, finding in findings.items():
        level = click.style(f"{finding.level.value:<8}", fg=COLOURS[finding.level], bold=finding.level is not Level.OK)
        click.echo(f"{level} {name:<{width}}  {finding.text}")
        if finding.remedy:
            click.echo(f"{'':<8} {'':<{width}}  -> {finding.remedy}")
    counts = {level: sum(finding.level is level for finding in findings.values()) for level in Level}
    told = [_counted(counts[level], level.value) for level in (Level.PROBLEM, Level.WARNING) if counts[level]]
    click.echo(f"\n{', '.join(told) or 'All is well'}.")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
