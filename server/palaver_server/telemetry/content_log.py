"""Prompts and answers in the log, redacted: where the operator asks for them, and nowhere else."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable

import structlog

from palaver_server.telemetry.call_record import CallRecord

log = structlog.get_logger("palaver.content")

QUEUE_CALLS = 256
"""Calls that wait to be written. What comes beyond is not written, and the log says so."""
MAX_CHARACTERS = 16_384
"""Of one message; the rest is cut off before it is redacted, so that a long one costs no more."""
MAX_MESSAGES = 50
"""The newest of a conversation."""


class ContentLog:
    """Implements ``telemetry.call_record.CallObserver``. Redacts in a thread of its own: it takes milliseconds.

    Args:
        redact: takes out what must not be written.
    """

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._queue: queue.Queue[CallRecord | None] = queue.Queue(QUEUE_CALLS)
        self._thread = threading.Thread(target=self._run, name="content log", daemon=True)
        self._thread.start()

    def call_ended(self, record: CallRecord) -> None:
        """Have the texts of a call written down."""
        if record.prompt is None:
            return
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            log.warning("too much content to log", lost=record.request_id)

    def close(self) -> None:
        """Write what is left. Blocks."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (record := self._queue.get()) is not None:
            try:
                self._write(record)
            except Exception:
                log.exception("content could not be logged", request_id=record.request_id)

    def _write(self, record: CallRecord) -> None:
        messages = [] if record.prompt is None else json.loads(record.prompt())[-MAX_MESSAGES:]
        answers = [] if record.said is None else json.loads(record.said())
        log.info(
            "content",
            request_id=record.request_id,
            prompt=[{"role": role, "text": self._shown(text)} for role, text in messages],
            answer=[self._shown(text) for text in answers],
        )

    def _shown(self, text: str) -> str:
        cut = text[:MAX_CHARACTERS]
        return self._redact(cut) + ("" if len(cut) == len(text) else f" [{len(text) - len(cut)} characters more]")
