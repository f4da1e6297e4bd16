"""What was typed in earlier conversations: a file for this user's eyes alone, and of bounded size."""

from __future__ import annotations

import os
from pathlib import Path

import click
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from palaver_server.settings import SettingsError, load_settings

MAX_BYTES = 1 << 20
"""When the file is larger at a start, its older half goes. Some ten thousand lines."""


def typed_history(*, is_kept: bool) -> History:
    """The history in the state folder, or one that ends with the process.

    Where the file cannot be written, that is said, and the conversation goes on without.
    """
    if not is_kept:
        return InMemoryHistory()
    try:
        path = load_settings().state_dir.expanduser() / "chat_history"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(0o600)
        path.chmod(0o600)  # it may be older than this rule
        _shorten(path)
    except (OSError, SettingsError) as error:
        why = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        click.secho(f"No history is kept ({why}).", dim=True, err=True)
        return InMemoryHistory()
    return FileHistory(str(path))


def _shorten(path: Path) -> None:
    """Keep the newer half of a large file; an entry begins with a line "# time" (prompt_toolkit's format)."""
    if path.stat().st_size <= MAX_BYTES:
        return
    data = path.read_bytes()
    kept = data[data.find(b"\n\n# ", len(data) // 2) + 1 :]
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.touch(0o600)
    new.write_bytes(kept)
    new.replace(path)
