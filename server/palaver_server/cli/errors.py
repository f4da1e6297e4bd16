"""How a command ends that cannot do what it was asked: one line on standard error and an exit code."""

from __future__ import annotations

from typing import Any

import click

from palaver_server.cli.options import given
from palaver_server.settings import Settings, SettingsError, load_settings

EXIT_FAILURE = 1
EXIT_WRONG_USE = 2


class WrongUseError(click.ClickException):
    """What was asked for cannot be, and trying again does not help."""

    exit_code = EXIT_WRONG_USE


def settings_of(parameters: dict[str, Any]) -> Settings:
    """The settings of a command's flags, the environment and the file.

    Raises:
        WrongUseError: they cannot be; the message names the setting.
    """
    try:
        return load_settings(**given(parameters))
    except SettingsError as error:
        raise WrongUseError(str(error)) from error
