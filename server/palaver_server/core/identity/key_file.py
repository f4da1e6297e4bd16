"""The key file: one JSON document of mode 0600 that holds hashes alone, changed whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from palaver_server.core.identity.key import Keys


class KeyFileError(Exception):
    """The key file cannot be read or written: one sentence that says which and why."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A place on disk that may hold keys."""

    path: Path

    def exists(self) -> bool:
        """Tell whether keys were ever made here; from then on callers must show one."""
        try:
            self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # what cannot be seen is not absent: reading it will say why
        return True

    def read(self) -> Keys:
        """Read all keys.

        Raises:
            KeyFileError: it is not there, cannot be read, or is not what palaver writes.
        """
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise KeyFileError(f"the key file {self.path} cannot be read: {error.strerror}") from error
        try:
            return Keys.model_validate_json(content)
        except ValidationError as error:
            # Place and kind of the first problem; never its input, which could hold anything.
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "the document"
            raise KeyFileError(f"the key file {self.path} is damaged at {place}: {first['msg']}") from None

    def change(self, change: Callable[[Keys], Keys]) -> Keys:
        """Replace the keys by what ``change`` makes of them; two processes that do so at once both succeed.

        Raises:
            KeyFileError: the file cannot be read or written; then it is as it was.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(self.path.parent):
                keys = change(self.read() if self.exists() else Keys())
                _replace(self.path, keys.model_dump_json(indent=2, exclude_none=True).encode() + b"\n")
        except OSError as error:
            raise KeyFileError(f"the key file {self.path} cannot be written: {error.strerror}") from error
        return keys


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold writers apart. A lock on the folder survives the file's replacement and leaves no file of its own."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, content: bytes) -> None:
    """Write beside the file, then rename: readers see the old content or the new, after a power cut too."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    written = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        written.replace(path)
    except BaseException:
        written.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
