"""What can be wrong with model files, by name and in one sentence."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum, unique
from pathlib import Path


@unique
class ModelFilesReason(StrEnum):
    """The cause, for code; the message beside it is for people."""

    UNKNOWN_MODEL = "UNKNOWN_MODEL"
    """Neither in the catalogue, nor a folder, nor a name of the model hub."""
    NOT_OURS_TO_FETCH = "NOT_OURS_TO_FETCH"
    """A model of the hub: vLLM fetches it."""
    NOT_FETCHED = "NOT_FETCHED"
    """Known, and not on this machine yet."""
    NOT_A_MODEL = "NOT_A_MODEL"
    """No folder, or a folder without a readable ``config.json`` that names an architecture."""
    WEIGHTS_MISSING = "WEIGHTS_MISSING"
    WEIGHTS_DAMAGED = "WEIGHTS_DAMAGED"
    FILE_CHANGED = "FILE_CHANGED"
    """Size or SHA-256 are not the recorded ones."""
    NOTHING_RECORDED = "NOTHING_RECORDED"
    """A full verification needs recorded hashes, and there are none."""
    HASH_MISMATCH = "HASH_MISMATCH"
    """What was fetched or made is not what this release of palaver pins."""
    NO_NETWORK = "NO_NETWORK"
    NO_SPACE = "NO_SPACE"
    NOT_WRITABLE = "NOT_WRITABLE"
    PIP_MISSING = "PIP_MISSING"
    CONVERTER_MISSING = "CONVERTER_MISSING"
    FETCH_FAILED = "FETCH_FAILED"
    CONVERSION_FAILED = "CONVERSION_FAILED"


class ModelFilesError(Exception):
    """Model files that cannot be had or used."""

    def __init__(self, reason: ModelFilesReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        """One sentence or two for a person: what is wrong, and what to do next."""

    def __repr__(self) -> str:
        return f"ModelFilesError({self.reason}, {self.message!r})"


@contextmanager
def folder_errors(folder: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write below ``folder`` into sentences."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise no_space(folder) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}:
            raise ModelFilesError(
                ModelFilesReason.NOT_WRITABLE,
                f"The folder {folder} cannot be written ({error.strerror}): give another with --cache-dir.",
            ) from error
        raise


def no_space(folder: Path) -> ModelFilesError:
    """Make the error for a disk that filled up while writing."""
    return ModelFilesError(
        ModelFilesReason.NO_SPACE,
        f"The disk of {folder} is full: free some space, or give another folder with --cache-dir.",
    )
