"""``palaver tune``: the settings that fit this machine and the model."""

from __future__ import annotations

from typing import Any

import click

from palaver_server.cli.options import SettingsCommand, settings_of
from palaver_server.machine.fitting import profile_for
from palaver_server.machine.profile import StartProfile


@click.command(
    cls=SettingsCommand,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    epilog="Takes every option of `palaver serve`, vLLM's own flags too; what is set stays as it is.\n\n"
    "\b\n"
    "Example:\n"
    "  palaver tune --dry-run --model glm-4.5-air-fp8",
)
@click.option(
    "--dry-run", is_flag=True, required=True, expose_value=False, help="Show what a start would choose; start nothing."
)
@click.pass_context
def tune(context: click.Context, /, **parameters: Any) -> None:
    """Show what a start chooses for this machine and the model, each value with its reason.

    Asks the driver for its GPUs and reads the model's configuration; loads nothing.
    """
    profile = profile_for(settings_of(parameters), tuple(context.args))
    if profile is None:
        click.echo("Nothing is chosen: --start-profile is off, or the engine runs no model.")
        return
    show_profile(profile)


def show_profile(profile: StartProfile) -> None:
    """One line a value."""
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
