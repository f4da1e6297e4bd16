"""``palaver audit``: what the audit log is worth, and what it says."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from palaver_server.cli.errors import WrongUseError
from palaver_server.settings import SettingsError, load_settings
from palaver_server.telemetry.audit.chain import AuditError, Keys, files_of, load_keys
from palaver_server.telemetry.audit.head import FILE as HEAD_FILE
from palaver_server.telemetry.audit.verify import records
from palaver_server.telemetry.audit.verify import verify as verify_log

EXIT_TAMPERED = 1

_DIRECTORY = click.option(
    "--audit-dir",
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    help="Folder of the log. Default: the setting audit_dir.",
)


@click.group()
def audit() -> None:
    """Verify the audit log, or look something up in it."""


@audit.command()
@_DIRECTORY
def verify(folder: Path | None) -> None:
    """Say whether every record is there, in its place and unchanged; exit with 1 where one is not.

    A last line that was cut off by a killed server is told, and is no tampering.
    """
    place = _folder(folder)
    verdict = verify_log(place, _keys(place))
    for sentence in (*verdict.findings, *verdict.gaps, *([verdict.torn] if verdict.torn else [])):
        click.echo(sentence)
    if not verdict.is_whole:
        click.echo(f"TAMPERED: {len(verdict.findings)} findings in {verdict.record_count} records.", err=True)
        raise click.exceptions.Exit(EXIT_TAMPERED)
    span = f", {verdict.first_number} to {verdict.last_number}" if verdict.record_count else ""
    click.echo(f"Whole: {verdict.record_count} records{span}.")


@audit.command()
@_DIRECTORY
@click.option("--client", help="Calls of this client alone.")
@click.option("--request-id", help="The call with this id.")
@click.option("--code", help="Calls that ended with this gRPC code, such as OK.")
@click.option("--reason", help="Calls that failed for this reason, such as RATE_LIMITED.")
@click.option("--user", help="Calls for this user_id, as the caller gave it; needs the log's key.")
@click.option("--since", type=click.DateTime(), help="Calls that began at or after this local time.")
@click.option("--last", type=click.IntRange(min=1), help="The newest so many alone.")
def query(folder: Path | None, user: str | None, since: object, last: int | None, **wanted: str | None) -> None:
    """Print records, a JSON object a line, oldest first. They are not verified."""
    begins = time.mktime(since.timetuple()) if hasattr(since, "timetuple") else 0.0
    asked = {name: value for name, value in wanted.items() if value is not None}
    place = _folder(folder)
    if user is not None:
        asked["user_hash"] = _keys(place).hide(user.encode())
    found = [
        record
        for record in records(place)
        if _time_of(record) >= begins and all(record.get(name) == value for name, value in asked.items())
    ]
    for record in found[-last:] if last else found:
        click.echo(json.dumps(record))


def _time_of(record: dict[str, Any]) -> float:
    """When a call began; a record that somebody changed may hold anything."""
    began = record.get("time")
    return began if isinstance(began, int | float) else 0.0


def _keys(folder: Path) -> Keys:
    try:
        return load_keys(folder, may_create=False)
    except AuditError as error:
        raise click.ClickException(str(error)) from error


def _folder(given: Path | None) -> Path:
    try:
        folder = given or load_settings().audit_dir
    except SettingsError as error:
        raise WrongUseError(str(error)) from error
    if folder is None:
        raise WrongUseError("There is no audit log: say --audit-dir, or set audit_dir for the server.")
    if not files_of(folder) and not (folder / HEAD_FILE).exists():  # a head alone tells that the files were removed
        raise WrongUseError(f"There is no audit log in {folder}.")
    return folder
