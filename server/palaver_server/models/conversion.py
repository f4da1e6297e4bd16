"""Runs `convert.py` in a child process, and tells how far it is."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from palaver_server.models import child
from palaver_server.models.convert import STEPS
from palaver_server.models.errors import ModelFilesError, ModelFilesReason, no_space
from palaver_server.models.progress import OnProgress, Phase, Progress

NEEDED_MODULES = ("torch", "transformers", "gguf", "accelerate")
SCRIPT = Path(__file__).with_name("convert.py")

Converter = Callable[[Path, Path, OnProgress], Mapping[str, str]]
"""Takes the GGUF file, the folder to fill and whom to tell; returns the versions of what made it."""


def require_converter() -> None:
    """Refuse early, before anything is fetched, where the libraries for the conversion are not installed."""
    missing = [name for name in NEEDED_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise _missing(", ".join(missing))


def convert_gguf(gguf: Path, target: Path, on_progress: OnProgress) -> Mapping[str, str]:
    """Convert a GGUF file into the folder ``target``, in a child process whose memory goes back when it ends.

    Raises ModelFilesError: CONVERTER_MISSING, CONVERSION_FAILED, NO_SPACE.
    """
    require_converter()
    reader = _ChildOutput(on_progress)
    status = child.run(
        # By its file, so that the child needs no import path of ours; -P keeps its folder out of that path.
        [sys.executable, "-P", str(SCRIPT), str(gguf), str(target)],
        environment={
            **os.environ,
            "HF_HUB_OFFLINE": "1",  # everything is in the file
            "CUDA_VISIBLE_DEVICES": "",  # a GPU that others use has nothing to do here
            "TRANSFORMERS_VERBOSITY": "error",
        },
        folder=gguf.parent,
        on_line=reader.take,
        on_tick=reader.report,
    )
    if status:
        raise reader.failure(status, target)
    return reader.made_with


class _ChildOutput:
    """Reads the child's lines: JSON is its protocol, anything else is kept to explain a failure."""

    def __init__(self, on_progress: OnProgress) -> None:
        self.made_with: dict[str, str] = {}
        self._on_progress = on_progress
        self._step = 0
        self._missing = ""
        self._error = ""
        self._lines: deque[str] = deque(maxlen=20)

    def take(self, line: str) -> None:
        message = _message(line)
        if message is None:
            self._lines.append(line)
        else:
            self._step = message.get("step", self._step)
            self._missing = message.get("missing", self._missing)
            self._error = message.get("error", self._error)
            self.made_with = message.get("made_with", self.made_with)
        self.report()

    def report(self) -> None:
        self._on_progress(Progress(Phase.CONVERT, STEPS[self._step], self._step, len(STEPS), "steps"))

    def failure(self, status: int, target: Path) -> ModelFilesError:
        if self._missing:
            return _missing(self._missing)
        if "No space left on device" in self._error or "Disk quota exceeded" in self._error:
            return no_space(target.parent)
        if status == -signal.SIGKILL:
            detail = "the converting process was killed, most likely for want of memory (it needs about 1.5 GB)"
        elif status < 0:
            detail = f"the converting process was ended by {signal.Signals(-status).name}"
        else:
            detail = self._error or next((line for line in reversed(self._lines) if line.strip()), f"status {status}")
        return ModelFilesError(
            ModelFilesReason.CONVERSION_FAILED,
            f"The model could not be converted while {STEPS[self._step].lower()}: {detail}.",
        )


def _message(line: str) -> dict[str, Any] | None:
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def _missing(names: str) -> ModelFilesError:
    return ModelFilesError(
        ModelFilesReason.CONVERTER_MISSING,
        f"Converting the model needs {names}, not installed here: install palaver with its extra `cpu` or `gpu`, as "
        "`make setup` does.",
    )
