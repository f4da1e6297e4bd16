"""What the model hub's own downloader left on this machine: whole models, and the SHA-256 of their files.

Two layouts (huggingface_hub): in its cache a snapshot's file is a link to ``blobs/<sha256>``; in a folder of the user
(``--local-dir``) ``.cache/huggingface/download/<file>.metadata`` holds the commit, the hash and the time of download.
Large files have a SHA-256 of 64 digits; small ones have git's own hash of 40, which is left alone here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

_SHA256 = re.compile(r"[0-9a-f]{64}")


def hub_hashes(folder: Path, names: Sequence[str]) -> Mapping[str, str]:
    """Find the recorded SHA-256 of those of the named files that have one."""
    found = {name: _linked_hash(folder / name) or _downloaded_hash(folder, name) for name in names}
    return {name: digest for name, digest in found.items() if digest}


def cached_snapshot(repository: str) -> Path | None:
    """Find a repository in the hub's cache (``HF_HOME`` and its relatives apply); None if it was never fetched.

    Asks nobody: no network.
    """
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415 - comes with vLLM, and takes a while to import
        from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415
    except ImportError:
        return None
    try:
        return Path(snapshot_download(repository, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def _linked_hash(path: Path) -> str | None:
    if not path.is_symlink():
        return None
    target = path.readlink()
    return target.name if target.parent.name == "blobs" and _SHA256.fullmatch(target.name) else None


def _downloaded_hash(folder: Path, name: str) -> str | None:
    try:
        lines = (folder / ".cache/huggingface/download" / f"{name}.metadata").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return lines[1] if len(lines) > 1 and _SHA256.fullmatch(lines[1]) else None
