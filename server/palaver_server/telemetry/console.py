"""Logs for people at a terminal: one short line an event, the access log in words."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.dev import Column, ConsoleRenderer, KeyValueColumnFormatter
from structlog.types import EventDict, Processor, WrappedLogger

ACCESS_LOGGER = "palaver.access"
_WORDS = "in words"
_CYAN, _DIM, _BOLD, _RED, _YELLOW, _RESET = "\x1b[36m", "\x1b[2m", "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[0m"
_LEVEL_STYLES = {"warning": _YELLOW, "error": _RED, "critical": _RED}


def console_renderers(*, is_coloured: bool) -> list[Processor]:
    """What makes a line of an event: time, level where it is a bad one, event, and the rest in the order of writing."""
    dim, bold, cyan, reset = (_DIM, _BOLD, _CYAN, _RESET) if is_coloured else ("", "", "", "")

    def level(key: str, value: object) -> str:
        del key
        text = str(value)
        style = _LEVEL_STYLES.get(text)
        return "" if style is None else f"{style if is_coloured else ''}{text}{reset}"

    def column(value_style: str, key_style: str | None = None) -> KeyValueColumnFormatter:
        return KeyValueColumnFormatter(key_style, value_style, reset, value_repr=str)

    return [
        _in_words,
        ConsoleRenderer(
            columns=[
                Column("time", column(dim)),
                Column("level", level),
                Column("event", column(bold)),
                Column(_WORDS, column("")),
                Column("", column("", cyan)),
            ],
            sort_keys=False,
            # Plain: rich's shows local variables, and those hold prompts and keys.
            exception_formatter=structlog.dev.plain_traceback,
        ),
    ]


def _in_words(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Leave out what only programs read, and say an access line as a person would."""
    if (count := event.pop("repeated", None)) is not None:
        event["repeated"] = f"{count:,} times within {event.pop('within_seconds'):g} s"
    if event.pop("logger", None) != ACCESS_LOGGER or "method" not in event:
        return event
    head = {"time": event.pop("time"), "level": event.pop("level")}
    head["event"] = f"{str(event.pop('method')).rpartition('/')[2]} {event.pop('code')}"
    del event["event"]
    words = [f"{event.pop('duration_ms'):.1f} ms"] if "duration_ms" in event else []
    if (first := event.pop("first_delta_ms", None)) is not None:
        words[0] += f" (first {first:.1f})"
    if "prompt_tokens" in event:
        words.append(f"{event.pop('prompt_tokens')}+{event.pop('output_tokens', 0)} tokens")
    if not event.get("cached_tokens", True):
        del event["cached_tokens"]
    words += [str(event.pop(key)) for key in ("finish_reason", "reason", "peer", "request_id") if key in event]
    return {**head, _WORDS: "  ".join(words), **event}


class StandardError(logging.Handler):
    """Writes to what standard error is at the moment: a progress bar takes its place, to write lines above itself."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001  # a broken pipe of the log must not break the server; logging's own way
            self.handleError(record)
