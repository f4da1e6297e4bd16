"""Turns the settings tree into command-line options, so that no flag is declared twice."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from palaver_server.cli.errors import WrongUseError
from palaver_server.cli.setting import Setting, all_settings
from palaver_server.settings import CONFIG_VARIABLE, Settings, SettingsError, load_settings

MAIN = (
    "listen",
    "engine",
    "model",
    "served_model_name",
    "max_concurrent_requests",
    "max_queued_requests",
    "tls_cert",
    "tls_key",
    "tls_client_ca",
    "grace",
    "state_dir",
    "cache_dir",
    "log_format",
)
"""Settings that ``--help`` shows; ``--help-all`` shows the others too."""

MAIN_OF_UP = (
    *("edge_listen", "edge_cert", "edge_key", "edge_client_ca", "edge_origins", "edge_status_listen"),
    *("listen", "engine", "model", "max_concurrent_requests", "grace", "state_dir"),
    "log_format",
)
"""The same for `palaver up`."""


class SettingsCommand(click.Command):
    """A command that takes every setting as a flag, and whose ``--help`` still fits a screen."""

    def __init__(self, *arguments: Any, main: Sequence[str] = MAIN, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self._main = main
        flags = [_option(setting) for setting in all_settings() if setting.has_flag]
        self.params = [*self.params, _CONFIG, *flags, _HELP_ALL]

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The main options, or, for ``--help-all``, all of them under their headings."""
        options = [option for option in self.get_params(context) if isinstance(option, click.Option)]
        of_settings = [option for option in options if isinstance(option, SettingOption)]
        others = [option for option in options if not isinstance(option, SettingOption)]
        if not context.meta.get(_ALL):
            main = sorted(
                (o for o in of_settings if o.name in self._main), key=lambda option: self._main.index(option.name or "")
            )
            _write(formatter, context, "Options", [*main, *others])
            return
        for title, group in groupby(of_settings, lambda option: option.setting.group):
            _write(formatter, context, title, group)
        _write(formatter, context, "Other options", others)


class SettingOption(click.Option):
    """The flag of a setting. It has no default here: environment and file come to their right."""

    def __init__(self, declarations: list[str], *, setting: Setting, **attributes: Any) -> None:
        super().__init__(declarations, default=None, **attributes)
        self.setting = setting

    def get_help_record(self, context: click.Context) -> tuple[str, str]:
        """Flag and meaning: the first sentence of it, or for ``--help-all`` the whole."""
        setting = self.setting
        if setting.kind is bool:
            left = f"{setting.flag} / --no-{setting.flag[2:]}"
        else:
            left = f"{setting.flag} {self.make_metavar(context)}"
        meaning = setting.meaning if context.meta.get(_ALL) else _first_sentence(setting.meaning)
        default = "" if setting.default is None else f"  [default: {setting.shown(setting.default)}]"
        return left, meaning + default


class ModelName(click.ParamType[str]):
    """A model: a name of the catalogue, a folder, or a name of the model hub. Only for what the Tab key shows."""

    name = "model"

    def shell_complete(
        self, _context: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Names that palaver knows; folders as soon as it looks like one."""
        if incomplete.startswith((".", "/", "~")):
            return [CompletionItem(incomplete, type="dir")]
        from palaver_server.models.catalogue import CATALOGUE  # noqa: PLC0415  # only the Tab key needs it

        return [CompletionItem(name, help=m.good_for) for name, m in CATALOGUE.items() if name.startswith(incomplete)]


def given(parameters: dict[str, Any]) -> dict[str, Any]:
    """Those settings that stood on the command line."""
    return {name: value for name, value in parameters.items() if value is not None and name in Settings.model_fields}


def settings_of(parameters: dict[str, Any]) -> Settings:
    """The settings of a command's flags, the environment and the file.

    Raises:
        WrongUseError: they cannot be; the message names the setting.
    """
    try:
        return load_settings(**given(parameters))
    except SettingsError as error:
        raise WrongUseError(str(error)) from error


_ALL = "palaver_server.cli.help_all"


def _show_all_help(context: click.Context, _parameter: click.Parameter, is_asked: bool) -> None:
    if is_asked and not context.resilient_parsing:
        context.meta[_ALL] = True
        click.echo(context.get_help())
        context.exit()


def _use_config(context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    if path is not None and not context.resilient_parsing:
        # What the flag says, this process and its children read where they always look.
        os.environ[CONFIG_VARIABLE] = str(path.absolute())


_HELP_ALL = click.Option(
    ["--help-all"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_all_help,
    help="Show every option, under headings.",
)
_CONFIG = click.Option(
    ["--config"],
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    expose_value=False,
    callback=_use_config,
    help=f"TOML file of settings, or {CONFIG_VARIABLE}.",
)


def _option(setting: Setting) -> SettingOption:
    if setting.kind is bool:
        return SettingOption([f"{setting.flag}/--no-{setting.flag[2:]}", setting.name], setting=setting)
    # Numbers go on as text: the settings tree checks them, with one message for flag, environment and file.
    kind: click.ParamType[Any] = click.STRING
    if setting.choices:
        kind = click.Choice(setting.choices)
    elif setting.kind is Path:
        kind = click.Path(path_type=Path)
    elif setting.name == "model":
        kind = ModelName()
    metavar = "|".join(setting.choices) or (setting.unit or _METAVARS.get(setting.kind, "value")).upper()
    return SettingOption([setting.flag, setting.name], setting=setting, type=kind, metavar=metavar)


_METAVARS = {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH"}


def _write(formatter: click.HelpFormatter, context: click.Context, title: str, options: Iterable[click.Option]) -> None:
    records = [record for option in options if (record := option.get_help_record(context)) is not None]
    with formatter.section(title):
        formatter.write_dl(records)


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".") + "."
