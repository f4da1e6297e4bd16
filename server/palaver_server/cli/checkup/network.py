"""Checks of the addresses that the server listens on, and of its certificate."""

from __future__ import annotations

import contextlib
import errno
import socket
from pathlib import Path

import psutil

from palaver_server.app.wiring import refuse_careless_listening, tls_files
from palaver_server.cli.checkup.finding import Finding, ok, problem
from palaver_server.cli.checkup.folders import parent_of_socket
from palaver_server.rpc.tls import TlsFilesError
from palaver_server.settings import Settings, SettingsError

MAX_PORT = 65535


def addresses(settings: Settings) -> Finding:
    """Whether every address of the settings can be listened on."""
    names = [name for name in Settings.model_fields if name == "listen" or name.endswith("_listen")]
    chosen = {f"--{name.replace('_', '-')}": value for name in names if (value := getattr(settings, name))}
    for flag, address in chosen.items():
        if finding := _address_finding(flag, str(address)):
            return finding
    return ok(f"{' and '.join(map(str, chosen.values()))} can be listened on.")


def exposure(settings: Settings) -> Finding:
    """Who can reach the server."""
    try:
        refuse_careless_listening(settings)
    except SettingsError as error:
        return problem(str(error), "see the flags that it names")
    return ok(f"Nobody reaches {settings.listen} who is not meant to.")


def certificate(settings: Settings) -> Finding:
    """The files of TLS."""
    try:
        files = tls_files(settings)
        if files is None:
            return ok("No TLS on the API port; the way to it is this machine, or somebody else encrypts it.")
        files.read()
    except (SettingsError, TlsFilesError) as error:
        return problem(f"{str(error).rstrip('.')}.", "mend the files of --tls-cert, --tls-key and --tls-client-ca")
    return ok(f"{files.certificate} and its key fit together.")


def _address_finding(flag: str, address: str) -> Finding | None:
    """What is wrong with an address; None if nothing is."""
    if address.startswith("unix:"):
        return parent_of_socket(Path(address.removeprefix("unix:")).absolute())
    host, _, port = address.rpartition(":")
    if not port.isdigit() or int(port) > MAX_PORT:
        return problem(f"{flag} {address} has no port from 0 to {MAX_PORT}.", "write HOST:PORT or unix:/path")
    try:
        found = socket.getaddrinfo(
            host.strip("[]") or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        return problem(f"{flag} {address} is no address of this machine ({error}).", f"give another with {flag}")
    for family, kind, protocol, _, place in found:
        try:
            with socket.socket(family, kind, protocol) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that end do not matter
                if family == socket.AF_INET6:
                    trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                trial.bind(place)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return problem(
                    f"{flag} {address} is taken{_by_whom(int(port))}.", f"end that, or give another with {flag}"
                )
            if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT} and len(found) > 1:
                continue
            return problem(f"{flag} {address} cannot be listened on: {error.strerror}.", f"give another with {flag}")
    return None


def _by_whom(port: int) -> str:
    """The process that listens there, where this user may know."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""
