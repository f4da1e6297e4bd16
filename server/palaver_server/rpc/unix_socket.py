"""A unix socket as a listening address: nobody connects who may not, and no running server loses its own.

grpcio removes whatever socket lies at the path, also one in use, whose server then hears of no caller any more; and at
its stop it removes the path again, also when that is another server's by then.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MAX_PATH_BYTES = 107
"""``sockaddr_un.sun_path`` holds 108 bytes with its closing zero (unix(7))."""


@dataclass(frozen=True, slots=True)
class UnixAccess:
    """Who may connect to a unix socket."""

    mode: int = 0o600
    """Permission bits of the socket. Default: its owner alone. With ``group``, 0o660 lets the group in."""

    group: str | None = None
    """Group that shall own the socket; unset, the process's own. For an edge that runs as another user."""


@contextmanager
def claimed(path: Path, access: UnixAccess) -> Iterator[None]:
    """Make a path free for a socket that the body creates, and give the socket its owner and mode afterwards.

    A socket that nobody listens on any more is removed. Between looking and binding, no second server looks.

    Raises:
        OSError: the path is in use (EADDRINUSE), is no socket (EEXIST), is too long (ENAMETOOLONG), or the system says
            no; ``strerror`` tells which.
        LookupError: there is no such group.
    """
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise OSError(errno.ENAMETOOLONG, f"a socket's path has at most {MAX_PATH_BYTES} bytes")
    with _locked(path.parent), _private_files():
        _remove_stale(path)
        yield
        if access.group is not None:
            shutil.chown(path, group=access.group)
        path.chmod(access.mode)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold two servers apart that start at once. A lock on the folder leaves no file behind."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _private_files() -> Iterator[None]:
    """Let nobody but the owner connect from the socket's first moment on.

    The mask is the whole process's: a file that another thread makes in that instant is more private than meant.
    """
    mask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(mask)


def _remove_stale(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "a file that is no socket lies there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a server whose queue is full answers EAGAIN: it listens
        outcome = probe.connect_ex(str(path))
    if outcome == errno.ECONNREFUSED:
        path.unlink()
    elif outcome in {0, errno.EAGAIN}:
        raise OSError(errno.EADDRINUSE, "another process listens there")
    else:
        raise OSError(outcome, os.strerror(outcome))
