"""Turns the settings tree into command-line options, so that no flag is declared twice."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from palaver_server.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


def settings_options(groups: Iterable[type[BaseModel]]) -> Callable[[Command], Command]:
    """Add a flag for each field of these groups of settings.

    A flag that is not given is not passed on, so that environment and file come to their right.
    """

    def decorate(command: Command) -> Command:
        for group in reversed(list(groups)):
            for name, field in reversed(group.model_fields.items()):
                extra = field.json_schema_extra
                if isinstance(extra, dict) and extra.get("flag") is False:
                    continue
                command = _option(name, field)(command)
        return command

    return decorate


def given(parameters: dict[str, Any]) -> dict[str, Any]:
    """Those settings that stood on the command line."""
    return {name: value for name, value in parameters.items() if value is not None and name in Settings.model_fields}


def _option(name: str, field: FieldInfo) -> Callable[[Command], Command]:
    flag = f"--{name.replace('_', '-')}"
    annotation = _without_none(field.annotation)
    default = "" if field.default is None else f"  [default: {_shown(field.default)}]"
    text = f"{field.description}{default}"
    if annotation is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=text)
    return click.option(flag, name, default=None, type=_click_type(annotation), metavar=_metavar(annotation), help=text)


def _without_none(annotation: Any) -> Any:
    """``X`` of ``X | None``, and what ``Annotated`` holds."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(part for part in typing.get_args(annotation) if part is not type(None))
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    return annotation


def _click_type(annotation: Any) -> click.ParamType[Any]:
    if typing.get_origin(annotation) is typing.Literal:
        return click.Choice(list(typing.get_args(annotation)))
    if annotation is Path:
        return click.Path(path_type=Path)
    # Numbers go on as text: the settings tree checks them, with one message for flag, environment and file.
    return click.STRING


def _metavar(annotation: Any) -> str | None:
    return {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH"}.get(annotation)


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, Path):
        try:
            return f"~/{default.relative_to(Path.home())}"
        except ValueError:
            pass
    return f"{default:g}" if isinstance(default, float) else str(default)
