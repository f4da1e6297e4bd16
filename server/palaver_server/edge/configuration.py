"""What Envoy is told: the values that its one template (``envoy.yaml.j2``) is filled with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address and a port to listen on; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RestPath:
    """One path of the REST API, as the protos name it."""

    service: str
    """Full name of the service behind it."""
    pattern: str
    """``/palaver/v1/chat:stream``, or with variables ``/v1/models/{model=**}``."""
    regex: str | None
    """The same as a regular expression, where there are variables."""
    methods: Sequence[str]
    """HTTP methods that it takes."""


@dataclass(frozen=True, slots=True)
class Routes:
    """The allow-list: what is not named here does not exist at the edge."""

    services: Sequence[str]
    """Full names of all services that gRPC reaches."""
    transcoded: Sequence[str]
    """Those that are called as REST too."""
    keyless: Sequence[str]
    """Those that nobody needs a key for: health, and what a browser reads."""
    raw: Sequence[str]
    """Those that read the JSON of a body themselves: OpenAI's."""
    unlimited: Sequence[str]
    """Those whose calls need a key and count for no limit: reflection, which tools ask before each call."""
    methods: Mapping[str, Sequence[str]]
    """Every service's methods, for the statistics."""
    paths: Sequence[RestPath]


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where Envoy reads what it shows and what it asks for, each time that ``watched`` changes."""

    chain: Path
    key: Path
    watched: Path
    """A folder in which something is moved or swapped when chain and key are new."""
    client_ca: Path | None = None
    """Authorities whose client certificates are required; without it, none is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeConfiguration:
    """Everything that differs from one edge to another."""

    folder: Path
    """Where the rendered files lie when Envoy reads them."""
    listen: Address
    status_listen: Address
    admin_socket: Path
    api_sockets: Sequence[Path]
    """The server's API, over a unix socket of each of its front ends."""
    questions_socket: Path
    """The server's answers to who a caller is and how much they may."""
    rate_limit_service: Address | None
    """Who counts requests when many servers share the limits. None: the server."""
    certificates: Certificates
    routes: Routes
    access_log: str
    """``stdout``, ``off``, or the path of a file."""
    access_log_refusals: int
    """Lines a second in it of calls that the edge refused or that need no key."""
    origins: Sequence[str] = field(default_factory=tuple)
    """Web origins whose pages may call: ``https://app.example.com``."""
    max_request_bytes: int
    max_response_bytes: int
    max_header_kib: int
    max_header_count: int
    max_connections: int
    max_streams_per_connection: int
    max_calls: int
    max_heap_bytes: int
    header_seconds: float
    request_seconds: float
    idle_seconds: float
    stream_idle_seconds: float
    max_answer_seconds: float
