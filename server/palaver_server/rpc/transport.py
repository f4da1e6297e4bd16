"""The HTTP/2 server itself: how much one caller, one connection and all of them together may ask of it.

Option names are those of grpcio 1.85 (``grpc/impl/channel_arg_names.h`` in grpc/grpc). grpcio ignores a name it does
not know without a word, so a test shows the effect of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import grpc

from palaver_server.rpc.wakeups import taken_together

_MAX_SECONDS = 2_147_483
"""grpcio takes times as 32-bit milliseconds; this is 24 days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Bounds of one server. Every one is above zero, and none can be switched off.

    Raises:
        ValueError: a number is out of range; the message names the field.
    """

    max_receive_message_bytes: int = 8 * 1024 * 1024
    """Largest request, in bytes, before and after decompression; beyond it RESOURCE_EXHAUSTED. Default 8 MiB: the 4 MiB
    of gRPC are about one million tokens of English, which long conversations with tools can pass; twice that cannot be
    a prompt for any model of today, and a bound keeps one caller from filling the memory."""

    max_send_message_bytes: int = 32 * 1024 * 1024
    """Largest answer, in bytes; beyond it RESOURCE_EXHAUSTED. Default 32 MiB: room for a unary answer of 32,000 tokens
    with 20 log probabilities each. Clients have their own limit, 4 MiB unless they raise it; streams do not meet it."""

    max_metadata_bytes: int = 16 * 1024
    """Metadata of one call, in bytes, with 32 counted for each entry, as HTTP/2 does. Beyond it RESOURCE_EXHAUSTED.
    Default 16 KiB: a key, trace context and baggage (8 KiB by W3C) and what proxies add."""

    max_streams_per_connection: int = 1024
    """Calls at once on one connection; a client waits with, or opens another connection for, those above.
    Default 1024: an Envoy sidecar sends all its callers over a few connections; admission decides who is served."""

    max_concurrent_rpcs: int = 4096
    """Calls at once on the whole server, health and reflection among them; beyond it a bare RESOURCE_EXHAUSTED without
    details. Default 4096. Keep it well above the admission's room and queue, whose refusals say more.

    A call counts until gRPC has handed its last byte to the connection. An answer that the caller does not read, whole
    or streamed, waits for that in gRPC's memory, long after its handler has ended and its place in the admission is
    free; grpcio has no way to end it, so the connection's end is what bounds it."""

    max_connections: int = 512
    """Open connections on each listening address; one more is closed at once and its client tries again. Default 512:
    half of the usual limit of 1024 file descriptors, which the engine needs as well. Without free descriptors
    grpcio leaves new connections waiting, looks again every second, and serves the open ones."""

    handshake_timeout_seconds: float = 10.0
    """Time for the TLS and HTTP/2 handshakes of a new connection. Default 10 s, where gRPC has 120: silent connections
    take places that ``max_connections`` counts."""

    keepalive_seconds: float = 30.0
    """Silence on a connection after which the server asks whether the client is there. Default 30 s, where gRPC has
    two hours: a client that lost its power or its route must not keep the engine writing for it."""

    keepalive_timeout_seconds: float = 10.0
    """Time to answer that question; then the connection is closed and its calls are cancelled. Default 10 s."""

    min_client_ping_interval_seconds: float = 5.0
    """Pings that come faster than this, thrice, end the connection with ``too_many_pings``. Default 5 s, where gRPC has
    five minutes: clients ask as often as every 10 s (the least that gRFC A8 allows them), also during a long prefill
    in which nothing is sent, also between calls."""

    max_connection_idle_seconds: float = 600.0
    """A connection without calls is closed after this. Default 10 min. Clients open another unseen by their callers."""

    max_connection_age_seconds: float = 3600.0
    """A connection takes no new calls after this (10 % more or less, so that they do not all end at once). Default 1 h:
    lets clients find new servers behind a load balancer, and brings rotated certificates into use."""

    max_connection_age_grace_seconds: float = 3600.0
    """Calls on such a connection may go on for this long; then it is closed, and they end with UNAVAILABLE. Default
    1 h: must exceed the longest generation."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            highest = _MAX_SECONDS if field.name.endswith("_seconds") else 2**31 - 1
            lowest = 0.001 if field.name.endswith("_seconds") else 1
            if not lowest <= value <= highest:
                raise ValueError(f"{field.name} must be from {lowest} to {highest}, not {value}")


def new_server(
    limits: ServerLimits, interceptors: Sequence[grpc.aio.ServerInterceptor] = (), *, shares_port: bool = False
) -> grpc.aio.Server:
    """Build a server within ``limits`` that listens nowhere yet. Call it where its event loop runs.

    With ``shares_port``, other processes may listen at the same TCP port, and the kernel deals out the connections.

    At ``stop(grace)`` the server accepts nothing new, waits up to ``grace`` seconds for open calls, and ends those
    left with UNAVAILABLE. ``stop`` can return a moment before the cancelled handlers have run to their end.
    """
    with taken_together():
        return grpc.aio.server(
            interceptors=interceptors,
            options=_options(limits, shares_port=shares_port),
            maximum_concurrent_rpcs=limits.max_concurrent_rpcs,
            # Tokens are too short to gain by compression, and compressing together what a caller and we say leaks
            # (CRIME).
            compression=grpc.Compression.NoCompression,
        )


def _options(limits: ServerLimits, *, shares_port: bool) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", limits.max_receive_message_bytes),
        ("grpc.max_send_message_length", limits.max_send_message_bytes),
        # Between the soft and the hard limit gRPC refuses by chance; equal, they make one exact limit.
        ("grpc.max_metadata_size", limits.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", limits.max_metadata_bytes),
        ("grpc.max_concurrent_streams", limits.max_streams_per_connection),
        ("grpc.max_allowed_incoming_connections", limits.max_connections),
        ("grpc.server_handshake_timeout_ms", _milliseconds(limits.handshake_timeout_seconds)),
        ("grpc.keepalive_time_ms", _milliseconds(limits.keepalive_seconds)),
        # The first bounds TCP's wait for acknowledgement (TCP_USER_TIMEOUT), the second a ping's: 60 s unless set.
        ("grpc.keepalive_timeout_ms", _milliseconds(limits.keepalive_timeout_seconds)),
        ("grpc.http2.ping_timeout_ms", _milliseconds(limits.keepalive_timeout_seconds)),
        ("grpc.keepalive_permit_without_calls", 1),  # else clients may ping between calls every two hours only
        ("grpc.http2.min_ping_interval_without_data_ms", _milliseconds(limits.min_client_ping_interval_seconds)),
        ("grpc.max_connection_idle_ms", _milliseconds(limits.max_connection_idle_seconds)),
        ("grpc.max_connection_age_ms", _milliseconds(limits.max_connection_age_seconds)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(limits.max_connection_age_grace_seconds)),
        # Unless it is meant, a second server on the same port would start without error and take half of the calls.
        ("grpc.so_reuseport", int(shares_port)),
    ]


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
