"""Metrics, traces, the audit log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field

DEFAULT_METRICS_LISTEN = "127.0.0.1:9464"
"""9464 is what exporters of OpenTelemetry use by default."""


class TelemetrySettings(BaseModel):
    """What operators see: metrics, traces, the audit log; and what load balancers see."""

    metrics_listen: str | None = Field(
        None,
        description="IP:PORT, plaintext, of /metrics for Prometheus: figures, and the names of clients. Unset: "
        "127.0.0.1:9464, or, where another server has that, none and a warning. Empty: none.",
    )
    audit_dir: Path | None = Field(
        None,
        description="Folder of the audit log: a record a call, each bound to the one before by a keyed hash, prompts "
        "and answers as keyed hashes alone. Unset: none. Look at it with `palaver audit`.",
    )
    audit_file_bytes: Annotated[int, Field(ge=4096)] = Field(
        64 * 1024**2, description="Size at which a new file of the audit log begins; some 100,000 records."
    )
    audit_retention_days: Annotated[float, Field(gt=0)] = Field(
        365.0, description="Days after which a file of the audit log is removed, when the next new one begins."
    )
    otlp_endpoint: str | None = Field(
        None,
        pattern="^https?://[^/@]+$",
        description="OpenTelemetry collector that gets spans by OTLP over gRPC: http://HOST:PORT, or https:// for TLS. "
        "Unset: no traces, and no cost.",
    )
    trace_sample_ratio: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0, description="The part of traces kept, 0 to 1. Where a caller has decided about its trace, that holds."
    )
    load_reports: Literal["off", "stream", "trailers", "all"] = Field(
        "off",
        description="Load reports by ORCA (gRFC A51) on the API port, for balancers that weigh servers by it. "
        "stream: to whoever listens, without a key; trailers: at the end of each answer; all: both. Never by the edge.",
    )
