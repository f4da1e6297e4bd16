"""Calls a server through palaver's client library: how it is made from options, and how its failures are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from palaver_client import Client, errors
from palaver_server.cli.connection import Where
from palaver_server.cli.errors import WrongUseError

_FLAGS = {
    "ca_certificate=": "--ca",
    "ca_certificate": "--ca",
    "tls=True": "--tls",
    "allow_plaintext_key=True": "--allow-plaintext-key",
    "client_certificate": "--client-cert",
    "client_key": "--client-key",
    "api_key:": "--api-key:",
    "address:": "--address:",
    "timeout must": "--timeout must",
}
"""What the client library calls its arguments, and what they are called here."""
_COMPLETION_SECONDS = 1.0
_CALLERS_FAULT = (errors.InvalidRequest, errors.NotFound)
"""Trying again does not help, and neither does anybody but the one who asked."""


def key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what calls need beside the connection: ``api_key``, ``allow_plaintext_key``, ``timeout`` and ``wait``."""
    options = (
        click.option(
            "--api-key", metavar="KEY", help="Better PALAVER_API_KEY: all users of a machine can see its arguments."
        ),
        click.option(
            "--allow-plaintext-key", is_flag=True, help="Send the key without TLS; something else encrypts the way."
        ),
        click.option(
            "--timeout", metavar="SECONDS", type=float, default=600.0, help="Longest time of a call.  [default: 600]"
        ),
        click.option("--no-wait", "wait", flag_value=False, default=True, help="Fail while the model loads."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def model_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--model``, whose values the Tab key asks the server for."""
    return click.option("--model", metavar="NAME", shell_complete=_served_models, help=text)


def _served_models(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    try:
        with Client(context.params.get("address"), timeout=_COMPLETION_SECONDS, retry=None) as client:
            return [model.id for model in client.list_models() if model.id.startswith(incomplete)]
    except (errors.PalaverClientError, ValueError):
        return []  # nobody reads a message in the middle of a line


def new_client(where: Where, api_key: str | None, *, allow_plaintext_key: bool, timeout: float) -> Client:
    """A client that calls once: ``patience`` waits where waiting helps, and shows it.

    Raises:
        WrongUseError: the options cannot be.
    """
    try:
        return Client(
            where.address,
            api_key=api_key,
            allow_plaintext_key=allow_plaintext_key,
            timeout=timeout,
            retry=None,
            tls=True if where.tls else None,
            ca_certificate=where.ca,
            client_certificate=where.client_cert,
            client_key=where.client_key,
        )
    except ValueError as error:
        raise WrongUseError(_in_flags(str(error))) from error


@contextmanager
def failures_told(where: Where) -> Iterator[None]:
    """Make every failure of a call one line that says what to do, and an exit code."""
    try:
        yield
    except errors.PalaverClientError as error:
        kind = WrongUseError if isinstance(error, _CALLERS_FAULT) else click.ClickException
        raise kind(told(error, where)) from error
    except (TypeError, ValueError) as error:  # an option whose value cannot be written into a request
        raise WrongUseError(_in_flags(str(error))) from error


def told(error: errors.PalaverClientError, where: Where) -> str:
    """A failure in a sentence or two: what happened, and what to do next."""
    message = error.message.rstrip(".") + "."
    match error:
        case errors.ConnectionFailed():
            call: Any = error.__cause__  # gRPC's own error, whose words are shorter than the library's
            return where.unreachable(str(call.details())) if hasattr(call, "details") else message
        case errors.Unauthenticated():
            return f"{message} Give a valid key in PALAVER_API_KEY."
        case errors.Unavailable() if error.reason == "MODEL_LOADING":
            return f"{message} Leave out --no-wait to wait for it."
        case errors.Overloaded() if error.retry_after is not None:
            return f"{message} Try again in {error.retry_after:.0f} s."
        case errors.InternalError() if error.request_id:
            return f"{message} [request {error.request_id}]"
    return message


def _in_flags(text: str) -> str:
    for theirs, ours in _FLAGS.items():
        text = text.replace(theirs, ours)
    return text
