"""``palaver log-level``: looks at the level of a running server's log, or changes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import grpc
from google.protobuf.wrappers_pb2 import StringValue

from palaver_server.cli.errors import EXIT_FAILURE, WrongUseError
from palaver_server.settings import LOG_LEVELS, SettingsError, load_settings

EXIT_UNREACHABLE = 3
TIMEOUT_SECONDS = 5.0
METHOD = "/palaver.internal.Control/SetLogLevel"


@click.command(
    name="log-level",
    epilog="Exit codes: 0, 2 wrong use, 3 no server has that socket.\n\n"
    "\b\n"
    "Examples:\n"
    "  palaver log-level            # prints info\n"
    "  palaver log-level debug      # probes and vLLM's own lines too\n"
    "  palaver log-level --control-socket /run/palaver/control.sock info",
)
@click.argument("level", required=False, type=click.Choice(LOG_LEVELS))
@click.option(
    "--control-socket",
    "--socket",
    "socket",
    type=click.Path(path_type=Path),
    help="The server's control socket. Default: that of the setting control_socket, or of the state folder.",
)
def log_level(level: str | None, socket: Path | None) -> None:
    """Print the log level of a running server, or change it until its end.

    Asks over the server's control socket, which only its owner can use. A restart takes the setting log_level again.
    """
    path = socket or _socket_of_settings()
    with grpc.insecure_channel(f"unix:{quote(str(path.absolute()))}") as channel:
        ask = channel.unary_unary(METHOD, StringValue.SerializeToString, StringValue.FromString)
        try:
            click.echo(ask(StringValue(value=level or ""), timeout=TIMEOUT_SECONDS).value)
        except grpc.RpcError as error:
            call: Any = error  # the error of every call is the call as well
            reason = call.code().name
            told = "no server of yours listens there" if reason == "UNAVAILABLE" else reason
            click.echo(f"Error: {path}: {told}. Its log says `control socket` where it is.", err=True)
            raise click.exceptions.Exit(EXIT_UNREACHABLE if reason == "UNAVAILABLE" else EXIT_FAILURE) from None


def _socket_of_settings() -> Path:
    try:
        path = load_settings().control_path
    except SettingsError as error:
        raise WrongUseError(str(error)) from error
    if path is None:
        raise WrongUseError("control_socket is switched off in the settings: say --control-socket.")
    return path
