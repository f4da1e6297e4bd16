"""Whether the engines that tests share live, and if not, why: one test's death must not pass for the next one's fault.

What an engine's processes log, a traceback of the core above all, pytest shows with the test that fails while they do.
An engine may die between two tests, or in one that passes; so the last of it is kept, and told with the death.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Container, Iterator
from contextlib import contextmanager

import psutil

from palaver_server.engine.vllm.engine import VllmEngine

KEPT_RECORDS = 200
LOGGERS_OF_PROCESSES = ("vllm.v1.engine.core", "vllm.v1.executor", "vllm.v1.worker", "vllm.output")
"""Through them an engine's processes speak: of tracebacks, and of what one printed as it crashed, below a warning."""
_shared: dict[str, VllmEngine] = {}


class _LastWords(logging.Handler):
    """Keeps what was logged last."""

    def __init__(self) -> None:
        super().__init__()
        self.said: deque[str] = deque(maxlen=KEPT_RECORDS)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


_last_words = _LastWords()


@contextmanager
def shared(fixture: str, engine: VllmEngine) -> Iterator[None]:
    """Look after an engine while the block lasts.

    Args:
        fixture: by which tests ask for it.
        engine: is loaded.
    """
    _shared[fixture] = engine
    logging.getLogger().addHandler(_last_words)
    for name in LOGGERS_OF_PROCESSES:
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        yield
    finally:
        del _shared[fixture]
        logging.getLogger().removeHandler(_last_words)


def deaths(fixtures: Container[str] | None = None) -> str:
    """Tell of the engines that have died, or of those that these fixtures give; empty where none has."""
    told = [
        _death(name, engine)
        for name, engine in _shared.items()
        if engine._loaded().llm.errored and (fixtures is None or name in fixtures)
    ]
    return "\n".join(told)


def _death(name: str, engine: VllmEngine) -> str:
    manager = engine._loaded().llm.engine_core.resources.engine_manager
    ends = {process.name: process.exitcode for process in getattr(manager, "processes", ())}
    memory = psutil.virtual_memory()
    return "\n".join(
        (
            f"The engine of the fixture {name!r} has died. {engine._failure}",
            f"Exit codes of its processes: {ends}; {memory.available >> 20} of {memory.total >> 20} MiB are free.",
            "The last that was logged:",
            *(_last_words.said or ["nothing"]),
        )
    )
