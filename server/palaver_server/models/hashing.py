"""SHA-256 of large files, several at a time: hashlib lets go of Python's lock, and a disk array outruns one core."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path

CHUNK_BYTES = 1 << 20
MAX_THREADS = 8
REPORT_SECONDS = 0.2


def sha256_of_files(files: Sequence[Path], on_bytes: Callable[[int], None]) -> Mapping[Path, str]:
    """Hash every file; return SHA-256 in hexadecimal.

    ``on_bytes`` is called about five times a second in the caller's thread with the bytes read since the last call; an
    exception that it raises ends the work. Raises OSError if a file cannot be read.
    """
    counter = _Counter()
    stopped = threading.Event()
    with ThreadPoolExecutor(max(1, min(MAX_THREADS, len(files), os.cpu_count() or 1))) as pool:
        futures = {pool.submit(_sha256, path, counter, stopped): path for path in files}
        try:
            pending: set[Future[str]] = set(futures)
            while pending:
                finished, pending = wait(pending, REPORT_SECONDS, FIRST_EXCEPTION)
                on_bytes(counter.take())
                for future in finished:
                    future.result()
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)
    return {path: future.result() for future, path in futures.items()}


class _Counter:
    """Bytes that the threads have read and nobody has heard of yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes = 0

    def add(self, count: int) -> None:
        with self._lock:
            self._bytes += count

    def take(self) -> int:
        with self._lock:
            count, self._bytes = self._bytes, 0
            return count


def _sha256(path: Path, counter: _Counter, stopped: threading.Event) -> str:
    digest = hashlib.sha256()
    buffer = bytearray(CHUNK_BYTES)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while not stopped.is_set() and (count := file.readinto(buffer)):
            digest.update(view[:count])
            counter.add(count)
    return digest.hexdigest()
