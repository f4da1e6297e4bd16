"""Pulls in a process of its own, to be waited for or killed: `pull_driver.py MODEL_JSON CACHE FINISHED`.

Prints each new progress text and, at the end, the folder. Its converter waits for a line on standard input.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from palaver_server.models.catalogue import CatalogueModel, WheelSource
from palaver_server.models.progress import OnProgress, Progress
from palaver_server.models.store import ModelStore


class Printer:
    def __init__(self) -> None:
        self._last = ""

    def __call__(self, progress: Progress) -> None:
        if progress.text != self._last:
            self._last = progress.text
            print(progress.text, flush=True)  # noqa: T201


def main() -> None:
    fields, cache, finished = json.loads(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    model = CatalogueModel(**{**fields, "source": WheelSource(**fields["source"])})

    def convert(_gguf: Path, target: Path, _on_progress: OnProgress) -> Mapping[str, str]:
        (target / "model.safetensors").write_bytes(b"half")
        print("converting", flush=True)  # noqa: T201
        sys.stdin.readline()
        shutil.copytree(finished, target, dirs_exist_ok=True)
        return {}

    folder = ModelStore(cache, catalogue={model.name: model}, convert=convert).pull(model.name, Printer())
    print(folder, flush=True)  # noqa: T201


main()
