"""``palaver settings``: what a server with these flags, environment and file would go by."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

import click

from palaver_server.cli.options import SettingsCommand, given, settings_of
from palaver_server.cli.setting import all_settings
from palaver_server.cli.settings_table import settings_table
from palaver_server.settings import Settings, config_file, settings_origins


@click.command(
    cls=SettingsCommand,
    epilog="\b\n"
    "Examples:\n"
    "  palaver settings --listen 0.0.0.0:50051\n"
    "  PALAVER_GRACE=10 palaver settings --json | jq '.[] | select(.origin != \"default\")'",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.option("--markdown", is_flag=True, help="Print the table of all settings for the documentation, without values.")
def settings(as_json: bool, markdown: bool, **parameters: Any) -> None:
    """Show every setting, its value and where that comes from.

    Takes the flags of `palaver serve`, so that a command line can be tried out. Flags win over the environment, the
    environment over the file. Secrets are not shown.
    """
    if as_json and markdown:
        raise click.UsageError("--json and --markdown: give one of them.")
    if markdown:
        click.echo(settings_table(), nl=False)
        return
    resolved = settings_of(parameters)
    origins = settings_origins(**given(parameters))
    if as_json:
        click.echo(json.dumps(_as_json(resolved, origins), indent=2))
    else:
        _show(resolved, origins)


def _as_json(resolved: Settings, origins: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "name": setting.name,
            "value": setting.printable(getattr(resolved, setting.name)),
            "origin": origins[setting.name],
            "default": setting.printable(setting.default),
            "flag": setting.flag if setting.has_flag else None,
            "environment": setting.variable,
            "meaning": setting.meaning,
        }
        for setting in all_settings()
    ]


def _show(resolved: Settings, origins: dict[str, str]) -> None:
    """One line a setting, under the headings of the help. What somebody has set stands out."""
    rows = [(setting, setting.shown(getattr(resolved, setting.name))) for setting in all_settings()]
    name_width = max(len(setting.name) for setting, _ in rows)
    value_width = min(max(len(value) for _, value in rows), 40)
    for index, (title, group) in enumerate(groupby(rows, lambda row: row[0].group)):
        click.secho(("\n" if index else "") + title, underline=True)
        for setting, value in group:
            origin = origins[setting.name]
            by = {"flag": setting.flag, "environment": setting.variable, "file": str(config_file())}.get(origin)
            told = f"{origin} {by}" if by else origin
            line = f"  {setting.name:<{name_width}}  {value:<{value_width}}  {told}"
            click.secho(line, dim=origin == "default", bold=origin != "default")
