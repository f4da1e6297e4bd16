"""What the settings say of the edge, as Envoy's configuration takes it."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from palaver_server.app.front_ends.share import socket_of
from palaver_server.edge.certificate import DevelopmentCertificate
from palaver_server.edge.configuration import Address, Certificates, EdgeConfiguration, RestPath, Routes
from palaver_server.rpc.descriptor_set import http_rules, services
from palaver_server.rpc.reflection import V1, V1ALPHA
from palaver_server.rpc.server import HEALTH
from palaver_server.settings import Settings, SettingsError

KEYLESS = (HEALTH, "palaver.v1.WebService")
"""Services that nobody needs a key for."""
RAW = ("palaver.v1.OpenAIService",)
"""Services that read the JSON of a body themselves."""


@dataclass(frozen=True, slots=True)
class EdgePlaces:
    """Where the edge finds what it needs, which differs between this machine and a container."""

    configuration: Path
    """The folder of the rendered files."""
    run: Path
    """The folder of the sockets that server and edge share."""
    certificates: Path
    """The folder of certificate and key, where the settings name none."""
    watched: Path | None
    """A folder in which a rename means that they are new. None: the certificate's own."""
    access_log: str

    @property
    def api_socket(self) -> Path:
        """The server's API for the edge: that of the first front end, beside which the others have theirs."""
        return self.run / "api.sock"

    @property
    def questions_socket(self) -> Path:
        """The server's answers to Envoy's questions."""
        return self.run / "internal.sock"

    @property
    def admin_socket(self) -> Path:
        """Envoy's admin interface."""
        return self.run / "admin.sock"


def development_certificate(settings: Settings) -> DevelopmentCertificate:
    """The certificate of the state folder."""
    return DevelopmentCertificate(settings.state_dir.expanduser().absolute() / "tls")


def edge_configuration(settings: Settings, places: EdgePlaces) -> EdgeConfiguration:
    """What Envoy is told.

    Raises:
        SettingsError: settings of the edge do not fit together.
    """
    return EdgeConfiguration(
        folder=places.configuration,
        listen=parse_address(settings.edge_listen, "edge_listen"),
        status_listen=parse_address(settings.edge_status_listen, "edge_status_listen"),
        admin_socket=places.admin_socket,
        api_sockets=[socket_of(places.api_socket, index) for index in range(settings.front_ends)],
        questions_socket=places.questions_socket,
        rate_limit_service=_service(settings.edge_rate_limit_service),
        certificates=_certificates(settings, places),
        routes=routes(),
        access_log=places.access_log,
        access_log_refusals=settings.edge_access_log_refusals,
        origins=tuple(filter(None, (origin.strip() for origin in (settings.edge_origins or "").split(",")))),
        max_request_bytes=settings.max_request_bytes,
        max_response_bytes=settings.max_response_bytes,
        max_header_kib=max(1, settings.max_metadata_bytes // 2048),
        max_header_count=64,
        max_connections=settings.edge_max_connections,
        max_streams_per_connection=settings.edge_max_streams_per_connection,
        max_calls=settings.max_calls,
        max_heap_bytes=settings.edge_max_heap_bytes,
        header_seconds=settings.edge_header_timeout,
        request_seconds=settings.edge_request_timeout,
        idle_seconds=settings.edge_connection_idle,
        stream_idle_seconds=settings.edge_stream_idle,
        max_answer_seconds=settings.edge_max_answer_time,
    )


def routes() -> Routes:
    """The allow-list, as the contract names it."""
    known = {service.full_name: service for service in services()}
    paths: dict[str, RestPath] = {}
    for rule in http_rules():
        before = paths[rule.pattern].methods if rule.pattern in paths else ()
        paths[rule.pattern] = RestPath(rule.service, rule.pattern, rule.regex, (*before, rule.method))
    # Exact paths first: /v1/models/{model=**} must not take what has a name of its own.
    ordered = sorted(paths.values(), key=lambda path: (path.regex is not None, path.pattern))
    names = dict.fromkeys((*known, V1))
    return Routes(
        services=tuple(names),
        transcoded=tuple(name for name in known if any(path.service == name for path in ordered)),
        raw=RAW,
        unlimited=(V1, V1ALPHA),
        keyless=tuple(name for name in KEYLESS if name in known),
        methods={name: tuple(method.name for method in service.methods) for name, service in known.items()}
        | {V1: tuple(method.name for method in known[V1ALPHA].methods)},
        paths=tuple(ordered),
    )


def _certificates(settings: Settings, places: EdgePlaces) -> Certificates:
    if (settings.edge_cert is None) != (settings.edge_key is None):
        raise SettingsError("The edge's certificate needs both --edge-cert and --edge-key.")
    if settings.edge_cert is None or settings.edge_key is None:
        development = DevelopmentCertificate(places.certificates)
        chain, key = development.chain, development.key
    else:
        chain, key = settings.edge_cert.expanduser().absolute(), settings.edge_key.expanduser().absolute()
    ca = settings.edge_client_ca.expanduser().absolute() if settings.edge_client_ca else None
    return Certificates(chain, key, places.watched or chain.parent, ca)


def parse_address(listen: str, setting: str) -> Address:
    """Read an address.

    Raises:
        SettingsError: it is none.
    """
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    with suppress(ValueError):
        if host == "localhost":
            host = "127.0.0.1"
        if 0 <= int(port) < 2**16:
            return Address(str(ipaddress.ip_address(host)), int(port))
    raise SettingsError(f"{setting}: {listen!r} is no IP:PORT, such as 127.0.0.1:8443 or 0.0.0.0:8443.")


def _service(address: str | None) -> Address | None:
    if address is None:
        return None
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise SettingsError(f"edge_rate_limit_service: {address!r} is no HOST:PORT.")
    return Address(host.strip("[]"), int(port))
