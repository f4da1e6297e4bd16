"""Checks of the folders that the server writes to."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from palaver_server.cli.checkup.finding import Finding, ok, problem, warning
from palaver_server.settings import Settings

MAX_SOCKET_PATH = 107
"""Bytes of a Unix socket's path (``sun_path`` in unix(7)), without the zero at its end."""
LONGEST_SOCKET_NAME = 20
LONGEST_TEMPORARY_NAME = len("/palaver-4194304-xxxxxxxx/") + 36
"""The engine's folder and, in it, a socket that vLLM names by a UUID."""


def state_folder(settings: Settings) -> Finding:
    """The folder with keys and sockets: ours, and closed to others."""
    folder = settings.state_dir.expanduser().absolute()
    remedy = "give another with --state-dir"
    if not folder.exists():
        ancestor = next(parent for parent in folder.parents if parent.exists())
        if not os.access(ancestor, os.W_OK | os.X_OK):
            return problem(f"{folder} cannot be made: {ancestor} is not writable.", remedy)
        return ok(f"{folder} will be made.")
    if not folder.is_dir():
        return problem(f"{folder} is no folder.", remedy)
    if not os.access(folder, os.W_OK | os.X_OK):
        return problem(f"{folder} is not writable.", remedy)
    if len(os.fsencode(folder)) + LONGEST_SOCKET_NAME > MAX_SOCKET_PATH:
        return warning(f"The path {folder} is too long for a Unix socket in it.", "give a shorter one with --state-dir")
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return warning(f"{folder} is open to other users (mode {mode:04o}).", f"chmod 700 {folder}")
    return ok(f"{folder} is writable and closed to others.")


def temporary_folder(_settings: Settings) -> Finding:
    """The folder for the engine's sockets."""
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:
        return problem("There is no writable folder for temporary files.", "set TMPDIR to one")
    length = len(os.fsencode(folder))
    if length + LONGEST_TEMPORARY_NAME <= MAX_SOCKET_PATH:
        return ok(f"{folder} is writable.")
    if os.access("/tmp", os.W_OK | os.X_OK):  # noqa: S108  # where the engine's folder is made instead
        return ok(f"{folder} is too long for sockets ({length} bytes); they go to /tmp.")
    return problem(
        f"{folder} is too long for sockets ({length} bytes), and /tmp is not writable.", "set TMPDIR shorter"
    )


def parent_of_socket(path: Path) -> Finding | None:
    """What is wrong with the place of a Unix socket that is listened on; None if nothing is."""
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        return problem(f"The path {path} is too long for a Unix socket.", f"use at most {MAX_SOCKET_PATH} bytes")
    if not path.parent.is_dir():
        return problem(f"There is no folder {path.parent} for the socket.", f"mkdir -p {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return problem(f"{path.parent} is not writable, so no socket can be made there.", "give another place")
    return None
