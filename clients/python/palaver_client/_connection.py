"""How a client reaches its server: address, TLS, key and the bounds of the transport."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from palaver_client._address import DEFAULT_ADDRESS, Address, parse_address
from palaver_client._metadata import checked_key

ADDRESS_VARIABLE = "PALAVER_ADDRESS"
API_KEY_VARIABLE = "PALAVER_API_KEY"
CA_VARIABLE = "PALAVER_CA"

DEFAULT_MAX_REQUEST_BYTES = 8 * 1024 * 1024
DEFAULT_MAX_ANSWER_BYTES = 32 * 1024 * 1024

StrPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The PEM files of a TLS connection; None where the machine's own authorities and no client certificate serve."""

    ca_certificate: StrPath | None = None
    client_certificate: StrPath | None = None
    client_key: StrPath | None = None
    server_name: str | None = None
    """The name in the server's certificate, where it is not the address's."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A checked way to a server. Holds the key, and does not show it."""

    address: Address
    credentials: grpc.ChannelCredentials | None
    options: tuple[tuple[str, int | str], ...]
    api_key: str | None = field(repr=False)

    def __str__(self) -> str:
        marks = ["TLS" if self.credentials else "plaintext", *(["with a key"] if self.api_key else [])]
        return f"{self.address.text} ({', '.join(marks)})"


def new_connection(
    address: str | None,
    api_key: str | None,
    *,
    tls: bool | None,
    files: TlsFiles,
    allow_plaintext_key: bool,
    max_request_bytes: int,
    max_answer_bytes: int,
    environment: Mapping[str, str] = os.environ,
) -> Connection:
    """Check everything about a connection before any is made.

    Raises:
        ValueError: something cannot be; the message names the argument or the variable.
    """
    place = parse_address(address or environment.get(ADDRESS_VARIABLE) or DEFAULT_ADDRESS)
    if api_key is None:
        api_key = environment.get(API_KEY_VARIABLE)
    key = checked_key(api_key) if api_key else None
    credentials = _credentials(tls, files, environment)
    if key and credentials is None and not place.is_local and not allow_plaintext_key:
        raise ValueError(
            f"api_key: it would travel to {place.text} in the clear. Use TLS (ca_certificate=, tls=True or "
            f"{CA_VARIABLE}), or say allow_plaintext_key=True where something else encrypts the way"
        )
    return Connection(place, credentials, _options(place, files, max_request_bytes, max_answer_bytes), key)


def _credentials(tls: bool | None, files: TlsFiles, environment: Mapping[str, str]) -> grpc.ChannelCredentials | None:
    given = [
        name for name in ("ca_certificate", "client_certificate", "client_key") if getattr(files, name) is not None
    ]
    if tls is False:
        if given or files.server_name:
            raise ValueError(f"{(*given, 'tls_server_name')[0]}: it is of no use with tls=False")
        return None
    if (files.client_certificate is None) != (files.client_key is None):
        raise ValueError("client_certificate and client_key: give both or neither")
    ca = files.ca_certificate or environment.get(CA_VARIABLE) or None
    if not (tls or given or ca):
        if files.server_name:
            raise ValueError("tls_server_name: it is of no use without TLS; add tls=True or ca_certificate=")
        return None
    # gRPC would take any bytes here and fail at the first handshake, without a word about the file.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca_name = "ca_certificate" if files.ca_certificate else CA_VARIABLE
    authorities = _read(ca_name, ca)
    if authorities is not None:
        try:
            context.load_verify_locations(cadata=authorities.decode("ascii", "ignore"))
        except ssl.SSLError as error:
            raise ValueError(f"{ca_name}: {ca} holds no PEM certificates") from error
    certificate, key = _read("client_certificate", files.client_certificate), _read("client_key", files.client_key)
    if files.client_certificate is not None:
        try:
            # An empty password: without one, OpenSSL would ask for it on the terminal.
            context.load_cert_chain(files.client_certificate, files.client_key, password="")
        except (ssl.SSLError, ValueError) as error:
            raise ValueError(
                f"client_certificate: {files.client_certificate} and {files.client_key} are not a PEM certificate and "
                "its unencrypted PEM key"
            ) from error
    return grpc.ssl_channel_credentials(authorities, key, certificate)


def _read(name: str, path: StrPath | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{name}: cannot read {os.fspath(path)}: {error.strerror}") from error


def _options(
    address: Address, files: TlsFiles, max_request_bytes: int, max_answer_bytes: int
) -> tuple[tuple[str, int | str], ...]:
    """Channel arguments of grpcio 1.85 (``grpc/impl/channel_arg_names.h`` in grpc/grpc)."""
    for name, value in (("max_request_bytes", max_request_bytes), ("max_answer_bytes", max_answer_bytes)):
        if not 0 < value < 2**31:
            raise ValueError(f"{name} must be from 1 to {2**31 - 1}, not {value}")
    options: list[tuple[str, int | str]] = [
        ("grpc.max_send_message_length", max_request_bytes),
        ("grpc.max_receive_message_length", max_answer_bytes),
        ("grpc.primary_user_agent", "palaver-client-python"),
        # Ask after 30 s of silence whether the server is there, also through a long prefill. Servers of palaver allow
        # a question every 5 s; gRFC A8 asks clients to stay above 10 s. Not between calls: nobody waits then.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.ping_timeout_ms", 10_000),  # else 60 s, whatever the line before says
        ("grpc.http2.max_pings_without_data", 0),
        # After a restart the server is found within 2 s; gRPC's own backoff would grow to 2 minutes.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.min_reconnect_backoff_ms", 10_000),  # the name misleads: it is the time that one connection may take
        # Retries are decided in _attempts alone; a TXT record must not add others.
        ("grpc.service_config_disable_resolution", 1),
    ]
    if address.is_local:
        # gRPC would send even loopback calls, and the key with them, to the machine in http_proxy.
        options.append(("grpc.enable_http_proxy", 0))
    if files.server_name:
        options.append(("grpc.ssl_target_name_override", files.server_name))
    return tuple(options)
