"""Logs: one JSON object a line, or readable lines on a terminal; the standard library's records in the same shape.

Everything goes to standard error: standard output belongs to what a command prints.
"""

from __future__ import annotations

import atexit
import json
import logging
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal

import structlog
from structlog.types import Processor

from palaver_server.telemetry.console import StandardError, console_renderers
from palaver_server.telemetry.lines import Line
from palaver_server.telemetry.repetition import Repetition

LogFormat = Literal["auto", "json", "console"]
LEVELS = ("debug", "info", "warning", "error")
_WALL_CLOCK = "%H:%M:%S"
CHATTY = ("asyncio", "grpc", "httpx", "urllib3", "filelock", "vllm", "transformers")
"""Libraries that speak up only for what an operator can act on; at debug they may say more."""


def configure_logging(level: str, log_format: LogFormat, *, repeat_limit: int = 0) -> None:
    """Set up logging for this process.

    Args:
        level: the least level that is written: debug, info, warning or error.
        log_format: json, console, or auto (console where standard error is a terminal).
        repeat_limit: lines alike that are written in a minute; 0 for all.
    """
    wants_console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt=_WALL_CLOCK, utc=False, key="time")
        if wants_console
        else structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        # First what is not written at all: an access line of a probe costs a microsecond so.
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    render: list[Processor] = (
        console_renderers(is_coloured=sys.stderr.isatty())
        if wants_console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_to_json)]
    )
    handler = StandardError()
    handler.setFormatter(_Formatter(shared, render, _time_on_the_wall if wants_console else _time_of_day))
    if repeat_limit:
        repetition = Repetition(repeat_limit, handler.emit)
        handler.addFilter(repetition)
        atexit.register(repetition.tell_all)
    logging.getLogger().handlers[:] = [handler]
    set_level(level)


def level() -> str:
    """The least level that is written."""
    return logging.getLevelName(logging.getLogger().level).lower()


def set_level(name: str) -> str:
    """Change the least level that is written, for this process and what its engine's processes send; return it.

    Args:
        name: one of ``LEVELS``; empty changes nothing.

    Raises:
        ValueError: there is no such level.
    """
    if name and name not in LEVELS:
        raise ValueError(f"{name!r} is no level: there are {', '.join(LEVELS)}.")
    if name:
        root = logging.getLogger()
        root.setLevel(name.upper())
        for chatty in CHATTY:
            logging.getLogger(chatty).setLevel(logging.INFO if name == "debug" else max(logging.WARNING, root.level))
    return level()


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders all that is logged; a ``Line`` is ready for it but for its time.

    Args:
        shared: brings what libraries have logged into the shape of structlog's events.
        render: makes text of an event.
        time_of: tells a moment.
    """

    def __init__(
        self, shared: Sequence[Processor], render: Sequence[Processor], time_of: Callable[[float], str]
    ) -> None:
        super().__init__(foreign_pre_chain=shared, processors=[self.remove_processors_meta, *render])
        self._render = render
        self._time_of = time_of

    def format(self, record: logging.LogRecord) -> str:
        """Render one record."""
        if not isinstance(record, Line):
            return super().format(record)
        event: Any = record.msg  # left as it is, for other handlers
        event = {**event, "time": self._time_of(record.created)}
        for step in self._render:
            event = step(None, "", event)
        return str(event)


def _time_of_day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


def _time_on_the_wall(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).astimezone().strftime(_WALL_CLOCK)


def _to_json(event: object, *, default: Callable[[object], object]) -> str:
    return _encoder(default).encode(event)


@cache
def _encoder(default: Callable[[object], object]) -> json.JSONEncoder:
    """Made once, and not anew for each line as by ``json.dumps``."""
    return json.JSONEncoder(ensure_ascii=False, default=default)
