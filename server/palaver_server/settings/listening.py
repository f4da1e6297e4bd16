"""Addresses, and the certificates of the API port."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field


class ListenSettings(BaseModel):
    """Where the server listens, and to whom."""

    listen: str = Field(
        "127.0.0.1:50051",
        description="Address of the gRPC API: HOST:PORT or unix:/path. Loopback unless told otherwise.",
    )
    allow_unauthenticated: bool = Field(
        False,
        description="Listen beyond loopback although nobody has to show a key or a client certificate. Off, so that a "
        "server never lands on a network by a slip.",
    )
    health_listen: str | None = Field(
        None,
        description="A second address, plaintext, with grpc.health.v1 alone; for the kubelet, whose probe shows "
        "neither key nor certificate. May be beyond loopback: it tells health and nothing else.",
    )
    tls_cert: Path | None = Field(
        None, description="PEM certificate chain of the API port. Without it the port is plaintext."
    )
    tls_key: Path | None = Field(None, description="PEM private key of --tls-cert; nobody else may read it.")
    tls_client_ca: Path | None = Field(
        None, description="PEM certificates of the authorities whose client certificates are required (mTLS)."
    )
