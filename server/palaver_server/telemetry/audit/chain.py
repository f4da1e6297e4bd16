"""Records that hold on to one another: what one is, and the keys that bind them."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

KEY_BYTES = 32
START = "0" * 64
"""Stands for the record before the first."""
MAC, PREVIOUS, NUMBER, KIND = "mac", "previous", "number", "kind"
FILE_PATTERN = "audit-*.jsonl"
KEY_FILE = "audit.key"


class AuditError(Exception):
    """The audit log cannot be used. The message is one sentence with what to do."""


class Keys:
    """The two keys of one log: one binds the records, the other hides texts."""

    def __init__(self, secret: bytes) -> None:
        self._chain = hmac.digest(secret, b"palaver audit chain", "sha256")
        self._content = hmac.digest(secret, b"palaver audit content", "sha256")

    def bind(self, fields: Mapping[str, Any]) -> str:
        """The keyed hash of a record without its own."""
        return hmac.new(self._chain, canonical(fields), hashlib.sha256).hexdigest()

    def hide(self, text: bytes) -> str:
        """The keyed hash of a text."""
        return hmac.new(self._content, text, hashlib.sha256).hexdigest()


def canonical(fields: Mapping[str, Any]) -> bytes:
    """The one way to write a record: keys in order, no spaces."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def sealed(keys: Keys, fields: Mapping[str, Any], number: int, previous: str) -> dict[str, Any]:
    """A record that follows another."""
    bare = {**fields, NUMBER: number, PREVIOUS: previous}
    return {**bare, MAC: keys.bind(bare)}


def parsed(line: bytes) -> dict[str, Any] | None:
    """The JSON object that a line holds, whoever wrote it; None where it holds none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def is_sealed(keys: Keys, record: Mapping[str, Any], line: bytes) -> bool:
    """Tell whether a record is what its hash says, and its line the one way to write it."""
    mac, bare = record.get(MAC), {name: value for name, value in record.items() if name != MAC}
    try:
        bound, written = keys.bind(bare), canonical(record)
    except RecursionError:
        return False
    # As bytes, and of what JSON can hold: a hash that somebody made up is any text.
    is_bound = isinstance(mac, str) and hmac.compare_digest(bound.encode(), mac.encode("utf-8", "surrogatepass"))
    return is_bound and written == line.removesuffix(b"\n")


def record_in(line: bytes, keys: Keys) -> dict[str, Any] | None:
    """The record that a line holds; None where it holds none, or one that palaver did not write so."""
    record = parsed(line)
    return record if record is not None and is_sealed(keys, record, line) else None


def load_keys(folder: Path, *, may_create: bool) -> Keys:
    """Read the key of a log, or make one.

    Raises:
        AuditError: there is none, or others may read it.
    """
    path = folder / KEY_FILE
    try:
        if may_create and not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
        if path.stat().st_mode & 0o077:
            raise AuditError(f"{path} can be read by others: chmod 600 it.")
        secret = path.read_bytes()
    except OSError as error:
        raise AuditError(f"{path} cannot be read: {error.strerror}.") from error
    if len(secret) != KEY_BYTES:
        raise AuditError(f"{path} is damaged: it must hold {KEY_BYTES} bytes.")
    return Keys(secret)


def files_of(folder: Path) -> list[Path]:
    """The files of a log, oldest first."""
    return sorted(folder.glob(FILE_PATTERN))
