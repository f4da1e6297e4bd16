"""Where values come from: flags, environment, file; and what is wrong with them, in sentences."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, TomlConfigSettingsSource

from palaver_server.settings.tree import CONFIG_VARIABLE, ENVIRONMENT_PREFIX, Settings, config_file

CLIENT_VARIABLES = frozenset({"PALAVER_ADDRESS", "PALAVER_API_KEY", "PALAVER_CA"})
"""Variables of palaver's clients, which a server that shares their environment leaves alone."""


class SettingsError(Exception):
    """Settings that cannot be: one sentence a setting, naming it and what would be right."""


def load_settings(**flags: object) -> Settings:
    """Resolve flags, environment and file.

    Raises:
        SettingsError: a value is out of its range, a name is unknown, the file cannot be read.
    """
    if (named := os.environ.get(CONFIG_VARIABLE)) and not Path(named).is_file():
        raise SettingsError(f"{CONFIG_VARIABLE} names {named}, which is not a file.")
    _refuse_unknown_variables()
    try:
        return Settings(**flags)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        problems = (f"{_flag(e['loc'])}: {e['msg']}{_got(e)}" for e in error.errors(include_url=False))
        raise SettingsError("\n".join(problems)) from None
    except ValueError as error:  # the file is no TOML, or holds no text
        raise SettingsError(f"{config_file()} cannot be read: {error}") from None


def settings_origins(**flags: object) -> dict[str, str]:
    """Tell for every setting where ``load_settings`` takes its value from: flag, environment, file or default."""
    sources: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("flag", flags),
        ("environment", EnvSettingsSource(Settings)()),
        ("file", TomlConfigSettingsSource(Settings, config_file())()),
    )

    def origin(name: str) -> str:
        return next((origin for origin, values in sources if name in values), "default")

    return {name: origin(name) for name in Settings.model_fields}


def _refuse_unknown_variables() -> None:
    """A misspelt variable would be ignored in silence, and its writer would believe in it."""
    known = {f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in Settings.model_fields}
    known |= {CONFIG_VARIABLE} | CLIENT_VARIABLES
    for name in os.environ:
        if name.upper().startswith(ENVIRONMENT_PREFIX) and name.upper() not in known:
            raise SettingsError(f"{name} is set in the environment, but there is no such setting.")


def _flag(location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else "settings"
    return name.lower().removeprefix(ENVIRONMENT_PREFIX.lower())


def _got(error: Any) -> str:
    return "" if error["type"] in ("extra_forbidden", "missing") else f" (got {error['input']!r})"
