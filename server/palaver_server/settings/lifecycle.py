"""Start, stop, and the folders that outlive both."""

from __future__ import annotations

from pathlib import Path

import platformdirs
from pydantic import BaseModel, Field

from palaver_server.settings.units import Positive, Seconds


class LifecycleSettings(BaseModel):
    """How the server starts and stops."""

    drain_delay: Seconds = Field(
        0.0,
        description="Seconds between health turning false and new calls being refused. Load balancers lag: give it "
        "their probe interval behind one.",
    )
    grace: Seconds = Field(
        30.0, description="Seconds that running answers get to finish when the server stops; Kubernetes waits 30."
    )
    engine_stall: Positive = Field(
        120.0,
        description="Seconds that a busy engine may be silent before the server gives it up and exits with 1 for its "
        "supervisor. Above the longest single step of the model.",
    )
    state_dir: Path = Field(
        platformdirs.user_state_path("palaver"),
        description="Folder for keys, certificates, sockets and rendered configuration; mode 0700.",
    )
    cache_dir: Path = Field(
        platformdirs.user_cache_path("palaver"), description="Folder for model files that can be fetched again."
    )
