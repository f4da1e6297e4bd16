"""Writes an audit log to test with, and reads what became of it."""

from __future__ import annotations

import threading
from pathlib import Path

from palaver_server.telemetry.audit.chain import load_keys
from palaver_server.telemetry.audit.verify import Verdict, verify
from palaver_server.telemetry.audit.writer import AuditWriter


def write(folder: Path, count: int, *, first: int = 0, max_file_bytes: int = 2000, days: float = 1) -> None:
    folder.mkdir(exist_ok=True)
    writer = AuditWriter(folder, load_keys(folder, may_create=True), max_file_bytes=max_file_bytes, retention_days=days)
    for index in range(first, first + count):
        writer.add(lambda index=index: {"kind": "call", "index": index})
        if index % 10 == 9:
            while writer.written_count < index - first + 1:
                threading.Event().wait(0.001)  # files end between batches
    writer.close()


def verdict_of(folder: Path) -> Verdict:
    return verify(folder, load_keys(folder, may_create=False))


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)
