"""What adjusts a request to a model's parsers is made once, where no request differs for it.

vLLM's renderer makes a parser of each request only to have it adjust the request: for a model with thoughts and tool
calls that are two readers of its format, tables and all, and a fifth of what it takes to prepare a short request.
Nothing of the requests that they adjust stays in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:  # vLLM takes seconds to import
    from vllm.parser import Parser

MOST_KEPT = 16
"""Parsers: one for each combination of the template's arguments about thinking, of which there are a few."""
_PLAIN = (str, int, float, bool, type(None))
"""Arguments that are kept, as values that are compared."""


class _Remembering:
    """Called as a parser's class is, always with the tokenizer and the model of one engine."""

    def __init__(self, kind: type[Parser]) -> None:
        self._kind = kind
        self._kept: dict[tuple[tuple[str, type, Any], ...], Parser] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kind, name)

    def __call__(self, tokenizer: Any, tools: Any, *, chat_template_kwargs: Mapping[str, Any], **named: Any) -> Parser:
        arguments = tuple([(name, type(value), value) for name, value in chat_template_kwargs.items()])
        may_be_kept = not tools and all(kind in _PLAIN for _, kind, _ in arguments)
        if may_be_kept and (kept := self._kept.get(arguments)) is not None:
            return kept
        parser = self._kind(tokenizer, tools, chat_template_kwargs=dict(chat_template_kwargs), **named)
        if may_be_kept and len(self._kept) < MOST_KEPT:
            self._kept[arguments] = parser
        return parser


def remembering(kind: type[Parser]) -> type[Parser]:
    """A parser's class for a renderer, which makes parsers of requests without tools once."""
    return cast("type[Parser]", _Remembering(kind))
