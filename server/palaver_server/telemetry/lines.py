"""Log lines of which there is one a call: written without the steps that structlog takes for lines of any kind.

Those are a bound logger, a chain of processors, a search for the caller's frame and a second chain in the formatter.
They took some four times as long as what is left here. The lines are the same, and pass the same filters.
"""

from __future__ import annotations

import logging

import structlog


class Line(logging.LogRecord):
    """Its ``msg`` is an event as structlog's chain would have made it, but for the time."""


class Lines:
    """Writes the lines of one logger.

    Args:
        name: the logger's.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)
        # What is bound for the whole process, such as which front end it is; a call's own context is in its fields.
        self._context = structlog.contextvars.get_contextvars()

    def are_written(self, level: int) -> bool:
        """Whether lines of one of ``logging``'s levels are written at all."""
        return self._logger.isEnabledFor(level)

    def write(self, level: int, fields: dict[str, object]) -> None:
        """Write a line, at a level that is written.

        Args:
            level: one of ``logging``'s.
            fields: what is told, in the order of the line, ``event`` among it; they become part of the line.
        """
        name = self._logger.name
        if self._context:
            fields |= self._context
        fields["level"] = logging.getLevelName(level).lower()
        fields["logger"] = name
        self._logger.handle(Line(name, level, "", 0, fields, None, None))
