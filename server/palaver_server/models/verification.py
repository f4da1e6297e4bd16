"""Does a model still hold what it held? Told file by file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from palaver_server.models import cache, checks, manifest
from palaver_server.models.catalogue import WheelSource
from palaver_server.models.checks import INDEX, Problem
from palaver_server.models.errors import ModelFilesError, ModelFilesReason, folder_errors
from palaver_server.models.hub_records import hub_hashes
from palaver_server.models.manifest import MANIFEST, Manifest, hash_files, record_files
from palaver_server.models.pinned import has_pinned_weights
from palaver_server.models.progress import OnProgress, ignore
from palaver_server.models.safetensors_header import read_header
from palaver_server.models.store import ModelStore, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was found."""

    folder: Path
    file_count: int
    """Files that were looked at."""
    hashed_bytes: int
    """0 unless the verification was full."""
    compared_with: str
    """Where the expected values came from, for people."""
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    """Oddities that do no harm."""


def verify_model(store: ModelStore, name_or_path: str, *, full: bool, on_progress: OnProgress = ignore) -> Verification:
    """Verify a model by its name or folder.

    A fetched model must have its manifest, and ``full`` compares its weights with what this release pins, too.

    Raises ModelFilesError: NOT_FETCHED, UNKNOWN_MODEL, NOTHING_RECORDED.
    """
    folder = store.locate(name_or_path)
    model = store.catalogue.get(name_or_path)
    if model is None or not isinstance(model.source, WheelSource):
        return verify(folder, store.cache_dir, full=full, on_progress=on_progress)
    condition = store.condition(model, on_progress)
    if condition.state is State.DAMAGED:
        found = verify(folder, store.cache_dir, full=False)
        damage = Problem(ModelFilesReason.FILE_CHANGED, "", f"is damaged: {condition.why}")
        return replace(found, problems=found.problems or (damage,))
    found = verify(folder, store.cache_dir, full=full, on_progress=on_progress)
    if full and not found.problems and not has_pinned_weights(folder, model.source, on_progress):
        text = "holds other weights than this release of palaver pins"
        return replace(found, problems=(Problem(ModelFilesReason.HASH_MISMATCH, "", text),))
    return found


def verify(folder: Path, cache_dir: Path, *, full: bool, on_progress: OnProgress = ignore) -> Verification:
    """Verify a model folder: presence, headers and sizes; with ``full`` the SHA-256 of every recorded file.

    Recorded hashes come from the folder's own manifest, from the one in the cache, or from the hub's downloader.
    Raises ModelFilesError NOTHING_RECORDED if ``full`` is asked and there are none.
    """
    found = list(checks.problems(folder))
    recorded = manifest.load(folder / MANIFEST) or manifest.load(cache.foreign_manifest(cache_dir, folder))
    broken = {problem.file for problem in found}
    if any(problem.reason is ModelFilesReason.NOT_A_MODEL for problem in found):
        return _result(folder, recorded, found, full_bytes=0, notes=())
    found += _size_problems(folder, recorded, broken)
    broken = {problem.file for problem in found}
    hashed_bytes = 0
    if full:
        expected = _expected_hashes(folder, recorded)
        names = [name for name in expected if name not in broken]
        hashed_bytes = sum((folder / name).stat().st_size for name in names)
        digests = hash_files(folder, names, f"Verifying {folder.name}", on_progress)
        found += [_changed(name) for name in names if digests[name] != expected[name]]
    return _result(folder, recorded, found, full_bytes=hashed_bytes, notes=_index_notes(folder) if not found else ())


def write_manifest(folder: Path, cache_dir: Path, *, in_folder: bool, on_progress: OnProgress = ignore) -> Path:
    """Record the hashes of a folder that is not ours, as it is now; return the manifest's path.

    Into the cache, or, asked so, into the folder itself, where it goes along when the folder is copied. A folder that
    is not whole is refused. Raises ModelFilesError.
    """
    checks.check_folder(folder)
    path = folder / MANIFEST if in_folder else cache.foreign_manifest(cache_dir, folder)
    record = Manifest(model=str(folder.resolve()), files=record_files(folder, on_progress))
    with folder_errors(path.parent):
        record.save(path)
    return path


def _size_problems(folder: Path, recorded: Manifest | None, broken: set[str]) -> list[Problem]:
    return [
        Problem(ModelFilesReason.FILE_CHANGED, record.name, f"{text}; fetch it again")
        for record in (recorded.files if recorded else ())
        if record.name not in broken and (text := record.size_problem(folder))
    ]


def _expected_hashes(folder: Path, recorded: Manifest | None) -> Mapping[str, str]:
    if recorded:
        return {record.name: record.sha256 for record in recorded.files}
    expected = hub_hashes(folder, manifest.file_names(folder))
    if not expected:
        raise ModelFilesError(
            ModelFilesReason.NOTHING_RECORDED,
            f"No hashes are recorded for {folder}, so its content cannot be compared with anything: record them once, "
            f"while you trust it, with `palaver models verify --write-manifest {folder}`.",
        )
    return expected


def _changed(name: str) -> Problem:
    return Problem(
        ModelFilesReason.FILE_CHANGED, name, "has another SHA-256 than the one that was recorded; fetch it again"
    )


def _index_notes(folder: Path) -> tuple[str, ...]:
    """Check the index's own sum, which some published models have wrong although every tensor is there."""
    if not (folder / INDEX).exists():
        return ()
    metadata = checks.read_json(folder / INDEX).get("metadata")
    told = metadata.get("total_size") if isinstance(metadata, dict) else None
    headers = [read_header(path) for path in checks.weight_files(folder)]
    total = sum(tensor.end - tensor.begin for header in headers for tensor in header.tensors.values())
    if told in {None, total}:
        return ()
    return (f"{INDEX} tells of {told} bytes of tensors and the shards hold {total}; every tensor it names is there",)


def _result(
    folder: Path, recorded: Manifest | None, found: list[Problem], *, full_bytes: int, notes: tuple[str, ...]
) -> Verification:
    names = manifest.file_names(folder) if folder.is_dir() else []
    if recorded:
        compared_with = "its manifest"
    elif full_bytes:
        compared_with = "the hashes that the hub's downloader left"
    else:
        compared_with = "its own headers and index"
    return Verification(
        folder=folder,
        file_count=len(recorded.files) if recorded else len(names),
        hashed_bytes=full_bytes,
        compared_with=compared_with,
        problems=tuple(found),
        notes=notes,
    )
