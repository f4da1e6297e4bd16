"""The commands `palaver keys ...`: who may call this machine's server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter

from palaver_server.cli.duration import Duration
from palaver_server.cli.errors import WrongUseError
from palaver_server.core.identity import issuing
from palaver_server.core.identity.key import Key, Keys, Name, Secret
from palaver_server.core.identity.key_file import KeyFile, KeyFileError
from palaver_server.settings import DEFAULT_TIER, Rate, Settings, SettingsError, load_settings


@click.group(
    epilog="\b\nExample:\n  palaver keys create --client acme --expires-in 30d > acme.key\n  palaver keys list"
)
def keys() -> None:
    """Make, list, revoke, rotate and prune API keys.

    From the first key on, every caller must show one: as the header x-api-key, or as authorization: Bearer. A running
    server sees each change within a second.
    """


@dataclass(frozen=True, slots=True)
class Store:
    """Where the keys are, and what the settings say of them."""

    settings: Settings
    file: KeyFile


def _with_store(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command its ``Store``, the options that say where it is, and one sentence for each expected failure."""

    @click.option(
        "--state-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of the key file; the setting state_dir of `palaver serve`.",
    )
    @click.option(
        "--keys-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The key file itself; the setting keys_file of `palaver serve`.",
    )
    @wraps(command)
    def with_store(*, state_dir: Path | None, keys_file: Path | None, **options: Any) -> None:
        given = {"state_dir": state_dir, "keys_file": keys_file}
        try:
            settings = load_settings(**{name: path for name, path in given.items() if path is not None})
            command(Store(settings, KeyFile(settings.keys_path)), **options)
        except (SettingsError, issuing.UnknownKeyError) as error:
            raise WrongUseError(str(error)) from error
        except KeyFileError as error:
            raise click.ClickException(str(error)) from error

    return with_store


class _RateType(click.ParamType[Rate]):
    name = "N|unlimited"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Rate:
        try:
            return TypeAdapter[Rate](Rate).validate_python("unlimited" if value == "unlimited" else int(value))
        except ValueError:
            self.fail(f"{value!r} is neither a number from 1 to 1000000 nor 'unlimited'.", parameter, context)


class _ClientType(click.ParamType[str]):
    name = "ID"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> str:
        try:
            return TypeAdapter(Name).validate_python(value)
        except ValueError:
            self.fail(
                f"{value!r} is not one to 64 letters, digits and ._:@-, a letter or digit first.", parameter, context
            )


@keys.command(epilog="\b\nExample:\n  palaver keys create --client acme --tier gold --expires-in 30d > acme.key")
@click.option("--client", required=True, type=_ClientType(), help="Who the key is for; stands in logs and metrics.")
@click.option(
    "--tier", default=DEFAULT_TIER, show_default=True, metavar="NAME", help="Tier of limits, of the settings' [tiers]."
)
@click.option("--requests-per-minute", type=_RateType(), help="A limit of the key's own, over that of its tier.")
@click.option("--expires-in", type=Duration(), metavar="30d", help="Such as 12h, 30d, 4w. Without it, never.")
@click.option("--models", multiple=True, metavar="NAME", help="A model that the key may use; repeat it. Default: all.")
@click.option(
    "--methods",
    multiple=True,
    metavar="NAME",
    help="A method, StreamChat, or service, ChatService, that the key may call; repeat it, or put commas between. "
    "Default: all but ExplainChat, which only keys may call that name it.",
)
@_with_store
def create(
    store: Store,
    /,
    *,
    client: str,
    tier: str,
    requests_per_minute: Rate | None,
    expires_in: timedelta | None,
    models: tuple[str, ...],
    methods: tuple[str, ...],
) -> None:
    """Make a key and print it, once, alone on standard output; only its hash is stored."""
    if tier not in store.settings.tiers:
        known = ", ".join(sorted(store.settings.tiers))
        raise click.BadParameter(
            f"There is no tier {tier!r}; there are: {known}. The settings file's table [tiers] makes more.",
            param_hint="'--tier'",
        )
    allowed_models = frozenset(name.removeprefix("models/") for name in _split(models)) or None
    allowed_methods = _methods_named(_split(methods))

    def make(key_id: str, now: datetime, secret: Secret) -> Key:
        return Key(
            id=key_id,
            client=client,
            tier=tier,
            requests_per_minute=requests_per_minute,
            models=allowed_models,
            methods=allowed_methods,
            created_at=now,
            expires_at=None if expires_in is None else now + expires_in,
            secrets=(secret,),
        )

    _show(issuing.create_key(store.file, make))


@keys.command("list", epilog="\b\nExample:\n  palaver keys list --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@_with_store
def list_keys(store: Store, /, *, as_json: bool) -> None:
    """List all keys: id, client, limit and state. The keys themselves are known to nobody but their holders."""
    found = store.file.read() if store.file.exists() else Keys()
    now = datetime.now(UTC)
    rows = [_row(key, store.settings, now) for key in found.keys]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo("There are no keys; `palaver keys create --client NAME` makes one.", err=True)
        return
    width = max(len("CLIENT"), *(len(row["client"]) for row in rows))
    click.echo(f"{'ID':<18}{'CLIENT':<{width + 2}}{'TIER':<12}{'PER MINUTE':<12}{'STATE':<9}{'EXPIRES':<18}MAY")
    for row in rows:
        expires = "never" if row["expires_at"] is None else f"{row['expires_at'][:16].replace('T', ' ')}Z"
        allowed = ", ".join((*(row["models"] or ()), *(row["methods"] or ()))) or "all"
        click.echo(
            f"{row['id']:<18}{row['client']:<{width + 2}}{row['tier']:<12}{row['requests_per_minute']!s:<12}"
            f"{row['state']:<9}{expires:<18}{allowed}"
        )


@keys.command(epilog="\b\nExample:\n  palaver keys revoke key-1f0c9a7be24d")
@click.argument("key_id", metavar="ID")
@_with_store
def revoke(store: Store, /, *, key_id: str) -> None:
    """End a key for good, within a second, and with it its running answers unless revoked_streams says finish."""
    key = issuing.revoke_key(store.file, key_id)
    click.echo(f"The key {key.id} of {key.client} is revoked.", err=True)


@keys.command(epilog="\b\nExample:\n  palaver keys rotate key-1f0c9a7be24d --overlap 24h > acme.key")
@click.argument("key_id", metavar="ID")
@click.option("--overlap", type=Duration(), metavar="24h", default="0s", help="How long the old text works on.")
@_with_store
def rotate(store: Store, /, *, key_id: str, overlap: timedelta) -> None:
    """Give a key a new text and print it, once. Id, client, rights, limit and running answers stay as they are."""
    _show(issuing.rotate_key(store.file, key_id, overlap))


@keys.command(epilog="\b\nExample:\n  palaver keys prune --older-than 90d")
@click.option(
    "--older-than",
    type=Duration(),
    metavar="30d",
    default="30d",
    show_default=True,
    help="How long ago a key must have been revoked or expired; 0s for every such key.",
)
@_with_store
def prune(store: Store, /, *, older_than: timedelta) -> None:
    """Forget keys that were revoked or expired long ago, and print their ids.

    Their holders are refused as before, but no longer told why: the server does not know such a key any more.
    """
    pruned = issuing.prune_keys(store.file, older_than)
    for key in pruned:
        click.echo(key.id)
    click.echo(f"{len(pruned) or 'No'} {'key was' if len(pruned) == 1 else 'keys were'} removed.", err=True)


def _show(issued: issuing.Issued) -> None:
    """The key for a pipe or a file, the rest for people."""
    click.echo(issued.text)
    click.echo(f"This is the key {issued.key.id} of {issued.key.client}. It is shown this once.", err=True)


def _row(key: Key, settings: Settings, now: datetime) -> dict[str, Any]:
    tier = settings.tiers.get(key.tier, settings.tiers[DEFAULT_TIER])
    row = key.model_dump(mode="json", exclude={"secrets"})
    own = key.requests_per_minute
    row["requests_per_minute"] = tier.requests_per_minute if own is None else own
    for rights in ("models", "methods"):
        row[rights] = None if row[rights] is None else sorted(row[rights])
    return row | {"state": key.state(now)}


def _split(names: tuple[str, ...]) -> list[str]:
    return [name.strip() for given in names for name in given.split(",") if name.strip()]


def _methods_named(names: list[str]) -> frozenset[str] | None:
    """Full names of the methods that short or full names of methods and services mean; None for none at all."""
    if not names:
        return None
    from palaver_server.rpc.methods import METHODS  # noqa: PLC0415  # generated code, for those who ask for it

    found: set[str] = set()
    for name in names:
        meant = {method for method in METHODS if name.removeprefix("/") in _names_of(method)}
        if not meant:
            known = ", ".join(method.removeprefix("palaver.v1.") for method in METHODS)
            raise click.BadParameter(
                f"There is no method or service {name!r}; there are {known}.", param_hint="'--methods'"
            )
        found |= meant
    return frozenset(found)


def _names_of(method: str) -> tuple[str, ...]:
    """``palaver.v1.ChatService/Chat`` and every shorter way to say it, its service included."""
    service, _, name = method.partition("/")
    short = service.rpartition(".")[2]
    return method, f"{short}/{name}", name, service, short
