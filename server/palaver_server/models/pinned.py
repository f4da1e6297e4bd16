"""Compares converted weights with those that this release of palaver pins.

A manifest only tells that they stayed the same.
"""

from __future__ import annotations

from pathlib import Path

from palaver_server.models.catalogue import WheelSource
from palaver_server.models.checks import weight_files
from palaver_server.models.progress import OnProgress, Phase, Progress
from palaver_server.models.safetensors_header import tensor_digest


def has_pinned_weights(folder: Path, source: WheelSource, on_progress: OnProgress) -> bool:
    """Compare the digest of a folder's tensors with the pinned one; True where none is pinned."""
    if source.weights_sha256 is None:
        return True
    files = weight_files(folder)
    total = sum(path.stat().st_size for path in files)
    done = 0

    def on_bytes(count: int) -> None:
        nonlocal done
        done += count
        on_progress(Progress(Phase.CHECK, "Checking the weights", done, total))

    return tensor_digest(files, on_bytes) == source.weights_sha256
