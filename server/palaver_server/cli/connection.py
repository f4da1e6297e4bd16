"""The options of every command that calls a server. Imports click alone: a probe pays for nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which server, and how it is reached."""

    address: str
    tls: bool
    ca: Path | None
    client_cert: Path | None
    client_key: Path | None

    @property
    def is_encrypted(self) -> bool:
        """Whether anything asks for TLS."""
        return self.tls or self.ca is not None or self.client_cert is not None

    def unreachable(self, details: str) -> str:
        """The sentence for a server that gives no answer.

        Args:
            details: what gRPC says, such as "failed to connect to all addresses; last error: UNKNOWN:
                ipv4:127.0.0.1:50051: Failed to connect to remote host: Connection refused".
        """
        cause = details.rpartition(": ")[2].strip("] .")
        may_lack_tls = not self.is_encrypted and not self.address.startswith("unix:")
        tls = " If it is, and has a certificate, give --ca." if may_lack_tls else ""
        return f"{self.address} cannot be reached: {cause}. Is `palaver serve` running there?{tls}"


def connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a connection; the command takes them together, as ``where``."""
    options = (
        click.option(
            "--address",
            metavar="HOST:PORT",
            envvar="PALAVER_ADDRESS",
            default="127.0.0.1:50051",
            show_default=True,
            help="The server, or unix:/path, or PALAVER_ADDRESS.",
        ),
        click.option("--tls", is_flag=True, help="Use TLS, with the authorities that this machine trusts."),
        click.option(
            "--ca",
            type=_FILE,
            envvar="PALAVER_CA",
            help="Use TLS, with the authorities of this PEM file, or of PALAVER_CA.",
        ),
        click.option("--client-cert", type=_FILE, help="PEM certificate to show, where the server wants one."),
        click.option("--client-key", type=_FILE, help="PEM private key of --client-cert."),
    )

    @wraps(command)
    def with_where(
        *arguments: Any,
        address: str,
        tls: bool,
        ca: Path | None,
        client_cert: Path | None,
        client_key: Path | None,
        **rest: Any,
    ) -> Any:
        if (client_cert is None) != (client_key is None):
            raise click.UsageError("--client-cert and --client-key: give both or neither.")
        where = Where(address=address, tls=tls, ca=ca, client_cert=client_cert, client_key=client_key)
        return command(*arguments, where=where, **rest)

    decorated: Callable[..., Any] = with_where
    for option in reversed(options):
        decorated = option(decorated)
    return decorated
