"""Writes the log: in a thread of its own, a line a record, a new file now and then, old ones removed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from palaver_server.telemetry.audit.chain import (
    KIND,
    MAC,
    NUMBER,
    PREVIOUS,
    START,
    AuditError,
    Keys,
    canonical,
    files_of,
    record_in,
    sealed,
)
from palaver_server.telemetry.audit.head import FILE as HEAD_FILE
from palaver_server.telemetry.audit.head import Head, NoHeadError
from palaver_server.telemetry.audit.verify import CUT, GAP, RETENTION

log = structlog.get_logger("palaver.audit")

QUEUE_RECORDS = 10_000
"""Records that wait for the disk; some 10 MB. What comes beyond is lost, and the log says how many."""
BATCH_RECORDS = 500
SYNC_SECONDS = 1.0
"""How much a machine that loses its power may lose. A process that is killed loses the queue alone."""
_DAY_SECONDS = 86_400

Describe = Callable[[], Mapping[str, Any]]


class AuditWriter:
    """One log. Opened by one process at a time.

    Args:
        folder: of the log.
        keys: bind its records.
        max_file_bytes: at which a new file begins.
        retention_days: after which a file is removed.
    """

    def __init__(self, folder: Path, keys: Keys, *, max_file_bytes: int, retention_days: float) -> None:
        self._folder = folder
        self._keys = keys
        self._max_file_bytes = max_file_bytes
        self._retention_seconds = retention_days * _DAY_SECONDS
        self._queue: queue.Queue[Describe | None] = queue.Queue(QUEUE_RECORDS)
        self._lost = 0
        self._told_lost = 0
        self.written_count = 0
        self.was_cut = False
        """The end of the log was gone when it was opened, or nobody can tell whether it was."""
        self._file = self._open()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    @property
    def lost_count(self) -> int:
        """Records that could not be written."""
        return self._lost

    def add(self, describe: Describe) -> None:
        """Have a record written, of what ``describe`` returns in the writer's thread.

        Never waits: where there is no room, the record is lost and counted.
        """
        try:
            self._queue.put_nowait(describe)
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Write what is left. Blocks."""
        self._queue.put(None)
        self._thread.join()

    def _open(self) -> Any:
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise AuditError(f"Another server writes the audit log in {self._folder}.") from error
        self._lock = lock
        files = files_of(self._folder)
        self._number, self._previous = 0, START
        torn = 0
        if files:
            torn = _cut_torn_line(files[-1])
            self._number, self._previous = self._last(files)
        found = self._compare_with_head(is_new=not files)
        file = self._append_to(files[-1] if files else self._path(1))
        self._file = file
        if torn:
            self._write({KIND: "recovered", "torn_bytes": torn})
        if found is not None:
            self.was_cut = True
            self._write({KIND: CUT, "found": found})
            log.error("the audit log was cut off", found=found, folder=str(self._folder))
        file.flush()
        os.fsync(file.fileno())
        self._write_head()  # only now: until it tells of the record above, the next start finds the same
        return file

    def _compare_with_head(self, *, is_new: bool) -> str | None:
        """Say what is missing at the log's end; None where nothing is."""
        try:
            head = Head.read(self._folder, self._keys)
        except NoHeadError as error:
            if is_new and not (self._folder / HEAD_FILE).exists():
                self._write_head()  # before the first file: no end without warning leaves records and no head
                return None
            return f"{error}: whether records after {self._number} were cut off cannot be told."
        if head.number > self._number:
            return (
                f"the records after {self._number} are gone, {head.number} had been written: they were cut off, or the "
                "machine lost its power."
            )
        if head.number == self._number and head.mac != self._previous:
            return f"record {self._number} is not the one that had been written."
        return None

    def _last(self, files: list[Path]) -> tuple[int, str]:
        for path in reversed(files):
            lines = path.read_bytes().splitlines()
            if lines:
                record = record_in(lines[-1], self._keys)
                if record is None:
                    raise AuditError(
                        f"The last record of {path} is damaged: look with `palaver audit verify`, then move the log "
                        "away."
                    )
                return record[NUMBER], record[MAC]
        return 0, START

    def _path(self, index: int) -> Path:
        return self._folder / f"audit-{index:08d}.jsonl"

    def _append_to(self, path: Path) -> Any:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._current = path
        return os.fdopen(descriptor, "ab")

    def _run(self) -> None:
        synced = time.monotonic()
        is_open = True
        while is_open:
            batch = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < BATCH_RECORDS:
                    batch.append(self._queue.get_nowait())
            is_open = None not in batch
            unwritten = sum(describe is not None for describe in batch)
            try:
                if (lost := self._lost - self._told_lost) > 0:
                    self._write({KIND: GAP, "lost": lost})
                    self._told_lost += lost
                for describe in batch:
                    if describe is not None:
                        self._write(describe())
                        self.written_count += 1
                        unwritten -= 1
                self._file.flush()
                if not is_open or time.monotonic() - synced >= SYNC_SECONDS:
                    os.fsync(self._file.fileno())
                    synced = time.monotonic()
                self._write_head()
                if self._file.tell() >= self._max_file_bytes:
                    self._rotate()
            except OSError as error:
                # What had its turn is in the file, or in its buffer, which the next flush tries again to empty.
                self._lost += unwritten
                log.error("the audit log cannot be written", cause=error.strerror)  # noqa: TRY400  # a sentence
        self._file.close()
        os.close(self._lock)

    def _write(self, fields: Mapping[str, Any]) -> None:
        stamped = fields if "time" in fields else {**fields, "time": time.time()}
        record = sealed(self._keys, stamped, self._number + 1, self._previous)
        self._file.write(canonical(record) + b"\n")
        self._number, self._previous = record[NUMBER], record[MAC]

    def _write_head(self) -> None:
        Head(self._number, self._previous).write(self._folder, self._keys)

    def _rotate(self) -> None:
        """Begin a new file; remove those whose time has come, and say so in the log."""
        self._file.close()
        self._file = self._append_to(self._path(int(self._current.stem.rpartition("-")[2]) + 1))
        limit = time.time() - self._retention_seconds
        old = [path for path in files_of(self._folder)[:-1] if path.stat().st_mtime < limit]
        if not old:
            return
        kept = next(path for path in files_of(self._folder) if path not in old)
        first = self._first(kept)
        number, previous = (first[NUMBER], first[PREVIOUS]) if first else (self._number + 1, self._previous)
        self._write({KIND: RETENTION, "kept_from": number, "kept_previous": previous, "files": [p.name for p in old]})
        self._file.flush()
        os.fsync(self._file.fileno())
        self._write_head()
        for path in old:
            path.unlink()

    def _first(self, path: Path) -> dict[str, Any] | None:
        with path.open("rb") as file:
            return record_in(file.readline(), self._keys)


def _cut_torn_line(path: Path) -> int:
    """Take away what is left of a record that was being written when the process ended; return how long it was."""
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
    return len(data) - whole
