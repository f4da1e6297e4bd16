"""The gRPC transport."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from palaver_server.settings.units import Count, Positive


class TransportSettings(BaseModel):
    """Bounds of the gRPC transport; ``rpc/transport.py`` gives the reason for each number."""

    max_request_bytes: Annotated[int, Field(ge=1024, le=256 * 1024**2)] = Field(
        8 * 1024**2, description="Bytes of one request. gRPC's own 4 MiB surprise long conversations."
    )
    max_response_bytes: Annotated[int, Field(ge=1024, le=256 * 1024**2)] = Field(
        32 * 1024**2, description="Bytes of one answer, or of one piece of a streamed one."
    )
    max_metadata_bytes: Annotated[int, Field(ge=1024, le=1024**2)] = Field(
        16 * 1024, description="Bytes of one call's metadata; keys and trace contexts take a few hundred."
    )
    max_connections: Count = Field(512, description="Open connections.")
    max_streams_per_connection: Count = Field(1024, description="Calls at once on one connection.")
    max_calls: Count = Field(
        4096,
        description="Calls at once in all, health and reflection included. One whose caller does not read the answer "
        "counts until --edge-stream-idle ends it; on --listen, until its connection ends, after --max-connection-age "
        "and --max-connection-age-grace at the latest.",
    )
    max_health_watches: Count = Field(256, description="Open health watches; anybody may open one.")
    handshake_timeout: Positive = Field(10.0, description="Seconds for the handshakes of a new connection.")
    keepalive_time: Positive = Field(30.0, description="Seconds of silence after which a client is asked if it lives.")
    keepalive_timeout: Positive = Field(10.0, description="Seconds to answer that; then its calls are cancelled.")
    min_ping_interval: Positive = Field(5.0, description="Seconds between pings of a client; faster ones are cut off.")
    event_stream_keepalive: Positive = Field(
        15.0,
        description="Seconds of silence after which a stream of OpenAI's protocol gets a comment line, and a typed one "
        "over REST an empty event.",
    )
    max_connection_idle: Positive = Field(600.0, description="Seconds without a call until a connection is closed.")
    max_connection_age: Positive = Field(
        3600.0, description="Seconds until a connection takes no new calls, so that clients find new replicas."
    )
    max_connection_age_grace: Positive = Field(
        3600.0, description="Seconds that calls on such a connection may go on; above the longest answer."
    )
