"""The documentation of all settings, as Markdown; ``server/SETTINGS.md`` is what this returns."""

from __future__ import annotations

from itertools import groupby

from palaver_server.cli.setting import Setting, all_settings

_HEAD = """\
# Settings

<!-- Made by `palaver settings --markdown`; a test compares. Change server/palaver_server/settings/ instead. -->

Every setting is a flag of `palaver serve`, an environment variable and a key of a TOML file. A flag wins over the
environment, the environment over the file. The key of the file is the flag without its dashes, with `_` for `-`:
`--max-queued-requests 8`, `PALAVER_MAX_QUEUED_REQUESTS=8` and `max_queued_requests = 8` are one setting. The file is
`~/.config/palaver/palaver.toml`, or what `--config` or `PALAVER_CONFIG` names.

`palaver settings` shows the values in force and where each comes from. A value out of its range, an unknown key or an
unknown `PALAVER_` variable ends the start with exit code 2. `PALAVER_ADDRESS`, `PALAVER_API_KEY` and `PALAVER_CA` are
the clients', and the server leaves them alone.
"""


_COLUMNS = "| setting | meaning | takes | default | environment |\n|---|---|---|---|---|"


def settings_table() -> str:
    """Every setting with its meaning, what it takes, its default, its flag and its variable."""
    parts = [_HEAD]
    for title, group in groupby(all_settings(), lambda setting: setting.group):
        rows = "\n".join(map(_row, group))
        parts.append(f"## {title}\n\n{_COLUMNS}\n{rows}\n")
    return "\n".join(parts)


def _row(setting: Setting) -> str:
    flag = f"`{setting.flag}`" if setting.has_flag else f"`[{setting.name}]` in the file"
    default = "unset" if setting.default in (None, {}) else f"`{setting.shown(setting.default)}`"
    cells = (flag, setting.meaning, setting.takes, default, f"`{setting.variable}`")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
