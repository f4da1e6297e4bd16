"""Logs: one JSON object a line, or readable lines on a terminal; the standard library's records in the same shape.

Everything goes to standard error: standard output belongs to what a command prints.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.types import Processor

from palaver_server.telemetry.console import StandardError, console_renderers

LogFormat = Literal["auto", "json", "console"]


def configure_logging(level: str, log_format: LogFormat) -> None:
    """Set up logging for this process.

    Args:
        level: the least level that is written: debug, info, warning or error.
        log_format: json, console, or auto (console where standard error is a terminal).
    """
    wants_console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False, key="time")
        if wants_console
        else structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    render: list[Processor] = (
        console_renderers(is_coloured=sys.stderr.isatty())
        if wants_console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    )
    handler = StandardError()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Libraries speak up only for what an operator can act on.
    for chatty in ("asyncio", "grpc", "httpx", "urllib3", "filelock", "vllm", "transformers"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
