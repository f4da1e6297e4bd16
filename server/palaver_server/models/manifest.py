"""The record of a model folder's files: what was there when it was known to be right."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter

from palaver_server.models.checks import read_json
from palaver_server.models.hashing import sha256_of_files
from palaver_server.models.progress import OnProgress, Phase, Progress

MANIFEST = "palaver-manifest.json"
FORMAT_VERSION = 1
"""Raised when the meaning of a field changes; a manifest of another version counts as none."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file as it was recorded."""

    name: str
    """Path within the folder, with slashes."""
    size: int
    mtime_ns: int
    sha256: str

    def size_problem(self, folder: Path) -> str | None:
        """Tell what a glance shows, as the end of a sentence that begins with the file's name; None if all is well."""
        try:
            size = (folder / self.name).stat().st_size
        except OSError:
            return "is missing"
        return None if size == self.size else f"has {size:,} bytes instead of {self.size:,}"

    def is_touched(self, folder: Path) -> bool:
        """Whether its time stamp differs from the recorded one: copied, or written to."""
        return (folder / self.name).stat().st_mtime_ns != self.mtime_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The files of one folder."""

    model: str
    """Name in the catalogue, or the path of a folder that is not ours."""
    files: tuple[FileRecord, ...]
    source_sha256: str | None = None
    """Of the file that the model was converted from."""
    made_with: Mapping[str, str] = field(default_factory=dict)
    """Versions of what converted it."""

    @property
    def total_bytes(self) -> int:
        """Of all files together."""
        return sum(record.size for record in self.files)

    def save(self, path: Path) -> None:
        """Write the manifest whole or not at all."""
        text = json.dumps({"format_version": FORMAT_VERSION, **asdict(self)}, indent=2) + "\n"
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def refreshed(self, folder: Path) -> Manifest:
        """Return the same record with today's time stamps, for files whose content was found right."""
        return replace(self, files=tuple(replace(r, mtime_ns=(folder / r.name).stat().st_mtime_ns) for r in self.files))


_SCHEMA = TypeAdapter(Manifest)


def load(path: Path) -> Manifest | None:
    """Read a manifest; None where there is none, or none of this version."""
    try:
        fields = read_json(path)
        if fields.pop("format_version", None) != FORMAT_VERSION:
            return None
        return _SCHEMA.validate_python(fields)
    except (OSError, ValueError):  # pydantic's ValidationError is a ValueError
        return None


def file_names(folder: Path) -> list[str]:
    """List the files that make up a model: everything in the folder and below but hidden files and the manifest."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    hidden = (name for name in found if not any(part.startswith(".") for part in name.parts))
    return sorted(name.as_posix() for name in hidden if name.as_posix() != MANIFEST)


def hash_files(folder: Path, names: Sequence[str], text: str, on_progress: OnProgress) -> Mapping[str, str]:
    """Hash the named files, with progress over their bytes."""
    paths = {folder / name: name for name in names}
    total = sum(path.stat().st_size for path in paths)
    done = 0

    def on_bytes(count: int) -> None:
        nonlocal done
        done += count
        on_progress(Progress(Phase.CHECK, text, done, total))

    return {paths[path]: digest for path, digest in sha256_of_files(list(paths), on_bytes).items()}


def record_files(folder: Path, on_progress: OnProgress) -> tuple[FileRecord, ...]:
    """Hash every file of a folder and record it."""
    digests = hash_files(folder, file_names(folder), "Recording SHA-256", on_progress)
    records = []
    for name, digest in digests.items():
        stat = (folder / name).stat()
        records.append(FileRecord(name, stat.st_size, stat.st_mtime_ns, digest))
    return tuple(records)
