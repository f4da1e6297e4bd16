"""Lengths of time as people write them on a command line."""

from __future__ import annotations

import re
from datetime import timedelta

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_FORM = re.compile(r"([0-9]{1,5})([smhdw])")


class Duration(click.ParamType[timedelta]):
    """``30d``: a whole number of seconds, minutes, hours, days or weeks."""

    name = "duration"

    def convert(
        self, value: str | timedelta, parameter: click.Parameter | None, context: click.Context | None
    ) -> timedelta:
        """Read the text, or fail with what would be right."""
        if isinstance(value, timedelta):
            return value
        found = _FORM.fullmatch(value)
        if found is not None:
            return timedelta(seconds=int(found[1]) * _UNITS[found[2]])
        return self.fail(f"{value!r} is no length of time: write such as 45s, 30m, 12h, 30d or 2w.", parameter, context)
