"""The class whose bases are the groups."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
from pydantic import BaseModel
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from palaver_server.settings.admission import AdmissionSettings
from palaver_server.settings.defaults import DefaultSettings
from palaver_server.settings.edge import EdgeSettings
from palaver_server.settings.forms import FormSettings
from palaver_server.settings.identity import IdentitySettings
from palaver_server.settings.lifecycle import LifecycleSettings
from palaver_server.settings.listening import ListenSettings
from palaver_server.settings.log import LogSettings
from palaver_server.settings.model import ModelSettings
from palaver_server.settings.processes import ProcessSettings
from palaver_server.settings.scripted import ScriptedSettings
from palaver_server.settings.sockets import EdgeSocketSettings
from palaver_server.settings.streams import StreamSettings
from palaver_server.settings.telemetry import TelemetrySettings
from palaver_server.settings.transport import TransportSettings

ENVIRONMENT_PREFIX = "PALAVER_"
CONFIG_VARIABLE = "PALAVER_CONFIG"
DEFAULT_CONFIG = platformdirs.user_config_path("palaver") / "palaver.toml"


class Settings(
    BaseSettings,
    ListenSettings,
    IdentitySettings,
    EdgeSocketSettings,
    ModelSettings,
    AdmissionSettings,
    ProcessSettings,
    StreamSettings,
    FormSettings,
    LifecycleSettings,
    DefaultSettings,
    EdgeSettings,
    TransportSettings,
    TelemetrySettings,
    LogSettings,
    ScriptedSettings,
):
    """The settings of one server, resolved and checked."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, extra="forbid", frozen=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_file())

    @property
    def control_path(self) -> Path | None:
        """The control socket, whether it exists or not; None where there shall be none."""
        if self.control_socket is None:
            return self.state_dir.expanduser().absolute() / "run" / "control.sock"
        return Path(self.control_socket).absolute() if self.control_socket else None

    @property
    def keys_path(self) -> Path:
        """The key file, whether it exists or not."""
        return self.keys_file or self.state_dir.expanduser() / "keys.json"


GROUPS: tuple[type[BaseModel], ...] = Settings.__bases__[1:]
"""The groups in the order in which help and documentation show them."""


def config_file() -> Path:
    """The TOML file that is read, if it is there."""
    return Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG)
