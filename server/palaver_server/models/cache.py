"""Where fetched models lie, and how two processes keep out of each other's way there.

``<cache>/models/<name>/`` is a whole model or is not there: it is made in ``<cache>/models/.<name>.<random>.partial/``
and renamed. ``<cache>/models/.<name>.lock`` is held meanwhile. ``<cache>/manifests/`` records folders of the user.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from palaver_server.models.errors import ModelFilesError, ModelFilesReason

WAIT_SECONDS = 0.5


def default_cache_dir() -> Path:
    """Return the user's cache folder for palaver, such as ``~/.cache/palaver``."""
    return platformdirs.user_cache_path("palaver")


def model_folder(cache_dir: Path, name: str) -> Path:
    """Where a model of the catalogue lies."""
    return cache_dir / "models" / name


def foreign_manifest(cache_dir: Path, folder: Path) -> Path:
    """Where the manifest of a folder that is not ours lies: named by the folder's full path."""
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
    return cache_dir / "manifests" / f"{digest[:32]}.json"


@contextmanager
def held(folder: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a model's folder; while another process has it, call ``on_wait`` twice a second.

    The lock goes with its process, however that ends. The file stays: to remove it would let two processes lock two
    different files of the same name.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    while True:
        try:
            lock.acquire(timeout=WAIT_SECONDS)
            break
        except Timeout:
            on_wait()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def work_folder(folder: Path) -> Iterator[Path]:
    """Make a temporary folder beside ``folder`` and remove it at the end; first remove what killed processes left.

    Only for the holder of the lock.
    """
    prefix, suffix = f".{folder.name}.", ".partial"
    for leftover in folder.parent.glob(f"{prefix}*{suffix}"):
        shutil.rmtree(leftover, ignore_errors=True)
    work = Path(tempfile.mkdtemp(suffix, prefix, folder.parent))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def publish(made: Path, folder: Path) -> None:
    """Put a finished folder in its place, in the place of an older one if there is one; readers see one or the other.

    Everything is on the disk before the rename, so that a power failure leaves no half-written model under the name.
    """
    for path in made.rglob("*"):
        if path.is_file():
            path.chmod(0o644)  # weights are written for their owner alone; who may read is the folder's matter
        _sync(path)
    _sync(made)
    if folder.exists():
        folder.rename(made.with_name("replaced"))
    made.rename(folder)
    _sync(folder.parent)


def require_space(folder: Path, needed_bytes: int) -> None:
    """Refuse before the work what the disk has no room for."""
    folder.mkdir(parents=True, exist_ok=True)
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise ModelFilesError(
            ModelFilesReason.NO_SPACE,
            f"The disk of {folder} has {free_bytes / 1e6:,.0f} MB free and {needed_bytes / 1e6:,.0f} MB are needed: "
            "free some space, or give another folder with --cache-dir.",
        )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
