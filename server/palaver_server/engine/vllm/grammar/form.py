"""What an answer is held to, in the words of xgrammar, the library that compiles it. Imports nothing heavy."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class Kind(StrEnum):
    """How a form is written."""

    JSON = "json"
    """A JSON Schema."""
    REGEX = "regex"
    EBNF = "ebnf"
    """A context-free grammar whose rules are written ``name ::= ...``."""
    LARK = "lark"
    """A context-free grammar whose rules are written ``name: ...``."""
    TAG = "tag"
    """A structural tag."""


@dataclass(frozen=True, slots=True)
class Form:
    """One form."""

    kind: Kind
    text: str

    @property
    def digest(self) -> bytes:
        """What tells this form from every other."""
        return hashlib.sha256(f"{self.kind}\0{self.text}".encode("utf-8", "surrogatepass")).digest()


MAX_WHITE_SPACE = 33
"""Characters of white space in a row between the parts of JSON: a line break and eight levels of indentation by four.

Without a limit a model that does not know what to write fills its answer with white space, and every token of it fits.
"""
ANY_JSON_OBJECT = Form(Kind.JSON, '{"type": "object"}')
