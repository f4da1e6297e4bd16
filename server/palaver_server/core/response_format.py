"""The form that an answer is held to while it is written. No format at all means free text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JsonObjectFormat:
    """Any JSON object."""


@dataclass(frozen=True, slots=True)
class JsonSchemaFormat:
    """JSON that fits a schema."""

    json_schema: str
    """The schema as JSON text."""
    name: str = ""
    """Told to models whose chat template shows it."""
    description: str = ""
    """Told to models whose chat template shows it."""


@dataclass(frozen=True, slots=True)
class RegexFormat:
    """Text that matches a regular expression as a whole."""

    pattern: str


@dataclass(frozen=True, slots=True)
class ChoiceFormat:
    """One of several given texts."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GrammarFormat:
    """Text of a context-free grammar, in EBNF."""

    grammar: str


@dataclass(frozen=True, slots=True)
class StructuralTagFormat:
    """Free text in which what stands between given tags is held to a form of its own."""

    structural_tag_json: str


ResponseFormat = JsonObjectFormat | JsonSchemaFormat | RegexFormat | ChoiceFormat | GrammarFormat | StructuralTagFormat
