"""What a check found: well, worth a look, or in the way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """The server starts, and something about it will be slow, wasteful or surprising."""
    PROBLEM = "problem"
    """The server will not start, or will fail under its first load."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    level: Level
    text: str
    """One sentence: what is there."""
    remedy: str = ""
    """What to do about it; empty where nothing is to be done."""


def ok(text: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, text)


def warning(text: str, remedy: str) -> Finding:
    """Worth a look."""
    return Finding(Level.WARNING, text, remedy)


def problem(text: str, remedy: str) -> Finding:
    """In the way of serving."""
    return Finding(Level.PROBLEM, text, remedy)
