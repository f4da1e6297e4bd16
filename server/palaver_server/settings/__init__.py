"""Every setting of the server, in one place: meaning, unit, range, default and the reason for it.

A setting is a flag (``--max-concurrent-requests 8``), an environment variable (``PALAVER_MAX_CONCURRENT_REQUESTS=8``)
and a key of a TOML file (``max_concurrent_requests = 8``). A flag wins over the environment, the environment over the
file. vLLM's own engine arguments are not repeated here: they pass through under vLLM's names, as flags or in the
file's table ``[vllm]``. Each group has a module; `server/SETTINGS.md` lists all.
"""

from palaver_server.settings.identity import DEFAULT_TIER, Tier
from palaver_server.settings.log import LOG_LEVELS
from palaver_server.settings.resolution import CLIENT_VARIABLES, SettingsError, load_settings, settings_origins
from palaver_server.settings.telemetry import DEFAULT_METRICS_LISTEN
from palaver_server.settings.tree import CONFIG_VARIABLE, ENVIRONMENT_PREFIX, GROUPS, Settings, config_file
from palaver_server.settings.units import Rate

__all__ = [
    "CLIENT_VARIABLES",
    "CONFIG_VARIABLE",
    "DEFAULT_METRICS_LISTEN",
    "DEFAULT_TIER",
    "ENVIRONMENT_PREFIX",
    "GROUPS",
    "LOG_LEVELS",
    "Rate",
    "Settings",
    "SettingsError",
    "Tier",
    "config_file",
    "load_settings",
    "settings_origins",
]
