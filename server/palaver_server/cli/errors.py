"""How a command ends that cannot do what it was asked: one line on standard error and an exit code."""

from __future__ import annotations

import click

EXIT_FAILURE = 1
EXIT_WRONG_USE = 2


class WrongUseError(click.ClickException):
    """What was asked for cannot be, and trying again does not help."""

    exit_code = EXIT_WRONG_USE
