"""The sockets that an Envoy beside the server uses."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field


class EdgeSocketSettings(BaseModel):
    """Unix sockets between the server and an Envoy beside it."""

    edge_socket: Path | None = Field(
        None,
        description="A unix socket that answers the API too, for Envoy: calls that come over it have been counted "
        "against their limits already. Mode 0600.",
    )
    internal_socket: Path | None = Field(
        None,
        description="A unix socket that answers Envoy's questions who a caller is (ext_authz) and whether it may call "
        "now (ratelimit). Whoever can connect can try keys: mode 0600.",
    )
    edge_group: str | None = Field(
        None, description="Group that may use both sockets (mode 0660), for an Envoy that runs as another user."
    )
