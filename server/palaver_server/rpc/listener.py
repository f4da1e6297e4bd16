"""Where a server listens: what an address says, and taking it so that nobody else is on it.

grpcio alone would share a TCP port with another server, listen on half of the addresses of a name, choose port 443
where none is given, and keep to itself why it fails.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import grpc

from palaver_server.rpc.tls import TlsFiles, TlsFilesError, server_credentials
from palaver_server.rpc.unix_socket import UnixAccess, claimed

_UNIX = "unix:"
_MAX_PORT = 65535


class ListenError(Exception):
    """The server cannot listen where it should. The message is one sentence that says where and why."""


def bind(
    server: grpc.aio.Server,
    listen: str,
    tls: TlsFiles | None = None,
    access: UnixAccess | None = None,
    *,
    joins: bool = False,
) -> str:
    """Let a server that has not started listen at an address, and give back that address.

    Args:
        server: one of ``new_server``.
        listen: ``HOST:PORT``, with an IPv6 host in brackets, or ``unix:PATH``. Port 0 takes a free port. A host name
            stands for all its addresses that this machine has. ``0.0.0.0`` and ``[::]`` both mean every address of
            either family.
        tls: TLS, and mutual TLS where it names client CAs; without it, connections are not encrypted.
        access: who may connect to a unix socket, by default the owner alone. TCP has no such thing.
        joins: another process of this server listens at that TCP port, and both share it.

    Returns:
        The address as clients write it: with the real port, with the absolute path.

    Raises:
        ListenError: it has no such form, somebody listens there, the machine does not let us, or the TLS files cannot
            be used. The server may then listen on some address and is good for nothing but being dropped.
    """
    place = _parse(listen)
    try:
        credentials = server_credentials(tls) if tls else None
    except TlsFilesError as error:
        raise ListenError(f"cannot listen on {listen}: {error}") from error
    if isinstance(place, Path):
        return _bind_unix(server, place, credentials, access or UnixAccess())
    return _bind_tcp(server, place, credentials, joins=joins)


def is_loopback(listen: str) -> bool:
    """Tell whether an address is within reach of this machine alone.

    True for a unix socket, and for a host all of whose addresses are loopback ones.

    Raises:
        ListenError: the address has no such form, or the host is unknown.
    """
    place = _parse(listen)
    if isinstance(place, Path):
        return True
    return all(ipaddress.ip_address(address).is_loopback for _, address in _resolve(place))


@dataclass(frozen=True, slots=True)
class _Tcp:
    host: str
    port: int

    @property
    def written_host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        return f"{self.written_host}:{self.port}"


def _parse(listen: str) -> _Tcp | Path:
    scheme, _, path = listen.partition(":")
    if scheme == "unix" and path:
        return Path(path).absolute()
    host, _, port = listen.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not host or not (port.isascii() and port.isdecimal()) or scheme == "unix":
        raise ListenError(
            f"{listen!r} is no address to listen on: write HOST:PORT, [IPV6]:PORT or unix:/path/to/socket"
        )
    if int(port) > _MAX_PORT:
        raise ListenError(f"{listen!r} has a port above {_MAX_PORT}")
    return _Tcp(host, int(port))


def _bind_tcp(server: grpc.aio.Server, place: _Tcp, credentials: grpc.ServerCredentials | None, *, joins: bool) -> str:
    addresses = [address for family, address in _resolve(place) if _is_ours(place, family, address, joins=joins)]
    if not addresses:
        raise ListenError(f"cannot listen on {place}: this machine has no such address")
    for address in addresses:
        # With port 0 the first address chooses, and the others follow.
        place = _Tcp(place.host, _add_port(server, str(_Tcp(address, place.port)), credentials))
    return str(place)


def _resolve(place: _Tcp) -> list[tuple[socket.AddressFamily, str]]:
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ListenError(f"cannot listen on {place}: {error.strerror}") from error
    except UnicodeError as error:
        raise ListenError(f"cannot listen on {place}: that is no host name") from error
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


def _is_ours(place: _Tcp, family: socket.AddressFamily, address: str, *, joins: bool) -> bool:
    """Try an address with a plain socket first, because grpcio does not say why it fails."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as grpcio: connections that end do not matter
            if joins:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((address, place.port))
    except OSError as error:
        if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
            return False
        reason = "another process listens there" if error.errno == errno.EADDRINUSE else error.strerror
        raise ListenError(f"cannot listen on {place}: {reason}") from error
    return True


def _bind_unix(
    server: grpc.aio.Server, path: Path, credentials: grpc.ServerCredentials | None, access: UnixAccess
) -> str:
    try:
        with claimed(path, access):
            _add_port(server, _UNIX + quote(str(path)), credentials)
    except OSError as error:
        raise ListenError(f"cannot listen on {_UNIX}{path}: {error.strerror}") from error
    except LookupError as error:
        raise ListenError(f"cannot listen on {_UNIX}{path}: there is no group {access.group!r}") from error
    return f"{_UNIX}{path}"


def _add_port(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:  # what the trial before could not see; grpcio writes the cause to standard error
        raise ListenError(f"cannot listen on {address}: the address has been taken this moment") from error
