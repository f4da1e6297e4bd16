"""What vLLM's parsers look for in a model's text: worked out once, and not for each parser anew.

A request makes several parsers, and each makes the same tables of the tokenizer's special tokens: most of what a parser
costs, and a third of what it takes to prepare a short request.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vllm.parser.engine import streaming_parser_engine

KEPT = 16
"""Tables: one for each format and tokenizer, of which a server has two or three."""


@dataclass(frozen=True, slots=True, eq=False)
class _Same:
    """Equal to what wraps the very same object: vLLM's descriptions of formats cannot be compared."""

    of: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.of is other.of

    def __hash__(self) -> int:
        return id(self.of)


def remember_marks() -> None:
    """Let all parsers of a format share their tables, which none of them changes. Harmless when called twice."""
    make = streaming_parser_engine._build_drop_info  # noqa: SLF001  # vLLM has no switch for it
    if hasattr(make, "is_remembering"):
        return

    @lru_cache(KEPT)
    def once(config: _Same, tokenizer: _Same) -> Any:
        return make(config.of, tokenizer.of)

    def remembering(config: Any, tokenizer: Any) -> Any:
        return once(_Same(config), _Same(tokenizer))

    remembering.is_remembering = True  # type: ignore[attr-defined]
    streaming_parser_engine._build_drop_info = remembering  # noqa: SLF001
