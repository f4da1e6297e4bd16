"""One setting as flags, help and documentation show it, read from the settings tree."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from palaver_server.settings import ENVIRONMENT_PREFIX, GROUPS

_KIB = 1024
HIDDEN = "(hidden)"
_SECRET_WORDS = frozenset({"token", "secret", "password", "passphrase", "credential", "credentials", "apikey"})
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of the settings tree."""

    name: str
    """As in the TOML file."""
    group: str
    """The first sentence of its group's docstring."""
    meaning: str
    kind: Any
    """The plain type: ``int``, ``Path``, a ``Literal`` of choices."""
    unit: str | None
    """``seconds``, ``bytes``, or nothing."""
    bounds: tuple[str, ...]
    """Such as ``from 0`` and ``to 2``."""
    default: Any
    has_flag: bool

    @property
    def flag(self) -> str:
        """As on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """As in the environment."""
        return f"{ENVIRONMENT_PREFIX}{self.name.upper()}"

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a setting that has only some; else nothing."""
        return typing.get_args(self.kind) if typing.get_origin(self.kind) is typing.Literal else ()

    @property
    def takes(self) -> str:
        """What a value looks like, with unit and range, in a few words."""
        if self.choices:
            return " | ".join(self.choices)
        kind = typing.get_origin(self.kind) or self.kind
        noun = self.unit or _NOUNS.get(kind, getattr(kind, "__name__", "value"))
        return " ".join((noun, *self.bounds))

    def shown(self, value: object) -> str:
        """A value for people: no secret, the home folder as ``~``."""
        match value:
            case None:
                return "unset"
            case bool():
                return "on" if value else "off"
            case Path():
                return _with_tilde(value)
            case float():
                return f"{value:g}"
            case int() if self.unit == "bytes" and value >= _KIB:
                size, unit = (value / _KIB, "KiB") if value < _KIB**2 else (value / _KIB**2, "MiB")
                return f"{value} ({size:.4g} {unit})"
            case dict() | list() | tuple() if not value:
                return "none"
        return str(self.printable(value))

    def printable(self, value: object) -> object:
        """A value for programs: what JSON can hold, and no secret."""
        if isinstance(value, SecretStr) or (value is not None and _is_secret(self.name)):
            return HIDDEN
        if isinstance(value, BaseModel):
            value = value.model_dump()
        if isinstance(value, Mapping):
            return {name: HIDDEN if _is_secret(name) else self.printable(entry) for name, entry in value.items()}
        if isinstance(value, list | tuple):
            return [self.printable(entry) for entry in value]
        if isinstance(value, str):
            return _USER_IN_URL.sub(HIDDEN, value)
        return str(value) if isinstance(value, Path) else value


def all_settings() -> Iterator[Setting]:
    """Every setting, in the order of help and documentation."""
    for group in GROUPS:
        title = re.split(r"[.;:]( |$)", (group.__doc__ or group.__name__).partition("\n")[0])[0]
        for name, field in group.model_fields.items():
            yield _setting(title, name, field)


def _setting(title: str, name: str, field: FieldInfo) -> Setting:
    kind, constraints, extra = _facts(field.annotation, field.metadata, field.json_schema_extra)
    unit = extra.get("unit", "bytes" if name.endswith("_bytes") else None)
    return Setting(
        name=name,
        group=title,
        meaning=field.description or "",
        kind=kind,
        unit=unit,
        bounds=tuple(_bounds(constraints)),
        default=field.get_default(call_default_factory=True, validated_data={}),
        has_flag=extra.get("flag") is not False,
    )


def _facts(annotation: Any, constraints: list[Any], extra: Any) -> tuple[Any, list[Any], dict[str, Any]]:
    """The plain type, its constraints and its extras, also from inside ``Annotated[X, ...] | None``."""
    extras = dict(extra) if isinstance(extra, dict) else {}
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(part for part in typing.get_args(annotation) if part is not type(None))
    if typing.get_origin(annotation) is typing.Annotated:
        annotation, *marks = typing.get_args(annotation)
        for mark in marks:
            if isinstance(mark, FieldInfo):
                constraints = [*constraints, *mark.metadata]
                extras = {**(mark.json_schema_extra if isinstance(mark.json_schema_extra, dict) else {}), **extras}
    return annotation, constraints, extras


def _bounds(constraints: list[Any]) -> Iterator[str]:
    for constraint in constraints:
        match constraint:
            case Ge(ge=bound):
                yield f"from {bound}"
            case Gt(gt=bound):
                yield f"over {bound}"
            case Le(le=bound):
                yield f"to {bound}"
            case Lt(lt=bound):
                yield f"below {bound}"


def _is_secret(name: str) -> bool:
    words = name.lower().replace("-", "_").split("_")
    return not _SECRET_WORDS.isdisjoint(words) or ("api", "key") in pairwise(words)


def _with_tilde(path: Path) -> str:
    try:
        return str("~" / path.relative_to(Path.home()))
    except ValueError:
        return str(path)


_NOUNS: Mapping[Any, str] = {
    bool: "on | off",
    int: "number",
    float: "number",
    str: "text",
    Path: "path",
    SecretStr: "text",
    dict: "table",
}
