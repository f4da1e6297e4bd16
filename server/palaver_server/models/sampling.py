"""The sampling that a model is made for, in the file where every engine looks for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = "generation_config.json"


def write_sampling(folder: Path, sampling: Mapping[str, float]) -> None:
    """Add these values to a model's generation configuration; without any, it stays as it is."""
    if sampling:
        content = {**_read(folder), "do_sample": True, **sampling}
        (folder / FILE).write_text(json.dumps(content, indent=2) + "\n")


def has_sampling(folder: Path, sampling: Mapping[str, float]) -> bool:
    """Whether the configuration says just that."""
    content = _read(folder)
    return all(content.get(name) == value for name, value in sampling.items())


def _read(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
