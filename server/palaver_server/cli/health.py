"""``palaver health``: whether a server answers, for probes. Imports gRPC and the health messages, and nothing else.

Protocol: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

import ipaddress
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import click
import grpc
from grpc_health.v1 import health_pb2

from palaver_server.cli.connection import Where, connection_options

EXIT_NOT_SERVING = 1
EXIT_WRONG_USE = 2
EXIT_UNREACHABLE = 3
DEFAULT_TIMEOUT_SECONDS = 3.0
POLL_SECONDS = 0.25
"""Between two questions of ``--wait``; one costs the server a tenth of a millisecond."""

_Request = health_pb2.HealthCheckRequest
_Response = health_pb2.HealthCheckResponse


@click.command(
    epilog="\b\n"
    "Exit codes: 0 SERVING, 1 not serving, 2 wrong use, 3 unreachable or no answer\n"
    "in time, 130 interrupted.\n\n"
    "\b\n"
    "Examples:\n"
    "  palaver health --service palaver.live --timeout 1   # a liveness probe\n"
    "  palaver health --wait --timeout 300 && palaver chat Hello",
)
@connection_options
@click.option(
    "--service",
    metavar="NAME",
    default="",
    help='"" or palaver.v1.ChatService: chats are answered. palaver.live: the process works, while it loads too.',
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="Longest wait for an answer; with --wait or --watch, for the end.  [default: 3; with those none]",
)
@click.option("--wait", is_flag=True, help="Ask until the state is SERVING or the time is over.")
@click.option("--watch", is_flag=True, help="Print the state and each change of it until the time is over or Ctrl-C.")
def health(where: Where, service: str, timeout: float | None, wait: bool, watch: bool) -> None:
    """Tell whether the server answers, for scripts and probes.

    Prints the state, SERVING or NOT_SERVING, on standard output.
    """
    if wait and watch:
        raise click.UsageError("--wait ends with the first SERVING, --watch goes on: give one of them.")
    with _channel(where) as channel:
        try:
            if watch:
                state = _watch(channel, service, timeout)
            elif wait:
                state = _wait(channel, service, timeout, where.address)
            else:
                state = _check(channel, service, timeout or DEFAULT_TIMEOUT_SECONDS)
                click.echo(_name(state))
        except grpc.RpcError as error:
            _end(error, where, service)
    if state != _Response.SERVING:
        raise click.exceptions.Exit(EXIT_NOT_SERVING)


def _check(channel: grpc.Channel, service: str, timeout: float | None, *, patient: bool = False) -> int:
    ask = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=_Request.SerializeToString,
        response_deserializer=_Response.FromString,
    )
    return int(ask(_Request(service=service), timeout=timeout, wait_for_ready=patient).status)


def _wait(channel: grpc.Channel, service: str, timeout: float | None, address: str) -> int:
    """Ask again and again, also while nobody listens yet. The last state is printed."""
    if sys.stderr.isatty():
        click.echo(f"Waiting for {address}; Ctrl-C ends it.", err=True)
    ends = float("inf") if timeout is None else time.monotonic() + timeout
    while True:
        state = int(_Response.UNKNOWN)
        remaining = None if timeout is None else max(ends - time.monotonic(), 0.001)
        try:
            state = _check(channel, service, remaining, patient=True)
        except grpc.RpcError as error:
            # A server that stops in the middle of an answer may come back.
            if _code(error) is not grpc.StatusCode.UNAVAILABLE or time.monotonic() + POLL_SECONDS >= ends:
                raise
        if state == _Response.SERVING or time.monotonic() + POLL_SECONDS >= ends:
            click.echo(_name(state))
            return state
        time.sleep(POLL_SECONDS)


def _watch(channel: grpc.Channel, service: str, timeout: float | None) -> int:
    follow = channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=_Request.SerializeToString,
        response_deserializer=_Response.FromString,
    )
    changes: Iterator[health_pb2.HealthCheckResponse] = follow(_Request(service=service), timeout=timeout)
    state: int | None = None
    try:
        for change in changes:
            state = int(change.status)
            click.echo(_name(state))  # flushes: a pipe sees each state when it comes
    except grpc.RpcError as error:
        if state is None or _code(error) is not grpc.StatusCode.DEADLINE_EXCEEDED:
            raise
    return _Response.UNKNOWN if state is None else state


def _name(state: int) -> str:
    return _Response.ServingStatus.Name(state) if state in _Response.ServingStatus.values() else f"state {state}"


def _channel(where: Where) -> grpc.Channel:
    is_unix = where.address.startswith("unix:")
    if not is_unix and (":" not in where.address or "://" in where.address):
        raise click.UsageError(f"--address: {where.address!r} is none; write HOST:PORT or unix:/path.")
    path = Path(where.address.removeprefix("unix:")).absolute()
    # gRPC decodes percent signs in a path.
    target = f"unix:{quote(str(path))}" if is_unix else f"dns:{where.address}"
    # gRPC would ask the machine in http_proxy for the way even to the loopback.
    options = [("grpc.enable_http_proxy", 0)] if is_unix or _is_loopback(where.address.rpartition(":")[0]) else []
    if not where.is_encrypted:
        return grpc.insecure_channel(target, options)
    ca, certificate, key = (
        file.read_bytes() if file else None for file in (where.ca, where.client_cert, where.client_key)
    )
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(ca, key, certificate), options)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _code(error: grpc.RpcError) -> grpc.StatusCode:
    call: Any = error  # the error of every call is the call as well
    code: grpc.StatusCode = call.code()
    return code


def _end(error: grpc.RpcError, where: Where, service: str) -> NoReturn:
    """One line that says what to look at, and the exit code."""
    call: Any = error
    match _code(error):
        case grpc.StatusCode.UNAVAILABLE:
            text, status = where.unreachable(str(call.details())), EXIT_UNREACHABLE
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            text, status = where.unreachable("no answer in time"), EXIT_UNREACHABLE
        case grpc.StatusCode.NOT_FOUND:
            text, status = f"The server has no service {service!r}; try --service palaver.live.", EXIT_WRONG_USE
        case code:
            text, status = f"{where.address} is asked in vain ({code.name}: {call.details()}).", EXIT_NOT_SERVING
    click.echo(f"Error: {text}", err=True)
    raise click.exceptions.Exit(status)
