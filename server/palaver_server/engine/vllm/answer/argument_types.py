"""Schemas of tools in words from which vLLM's parsers can tell the types of arguments.

A format that has arguments between marks holds them as text, so its parser asks the tool's schema whether ``3`` is a
number. vLLM's look at ``type``, at ``enum`` and into the branches of ``anyOf`` and its like; what a ``$ref`` leads to,
and a ``const``, they take for a string. A call that a strict tool's grammar has forced would then be read back as one
that does not fit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from palaver_server.core.tools import Tool
from palaver_server.engine.vllm.grammar.references import UnresolvableError, resolve
from palaver_server.engine.vllm.prompt.chat_request import VllmChatRequest

MAX_SCHEMAS = 2_000
"""Schemas that are written for one tool. References to references multiply; what is beyond stays as it was sent."""
MAX_LEVELS = 64
REMEMBERED = 128
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
_BY_KEYWORD = {"properties": "object", "additionalProperties": "object", "items": "array", "prefixItems": "array"}


def readable(chat: VllmChatRequest, tools: Sequence[Tool]) -> VllmChatRequest:
    """Give the request by which a parser reads the answer; the model is shown the schemas as they were sent.

    Args:
        chat: the request in vLLM's words.
        tools: the request's, whose schemas have been checked.
    """
    if not chat.tools:
        return chat
    plain = [plain_schema(tool.parameters_json_schema) for tool in tools]
    if not any(plain):
        return chat
    told = [
        tool.model_copy(update={"function": tool.function.model_copy(update={"parameters": schema})})
        if schema is not None
        else tool
        for tool, schema in zip(chat.tools, plain, strict=True)
    ]
    return chat.model_copy(update={"tools": told})


@lru_cache(REMEMBERED)
def plain_schema(text: str) -> dict[str, Any] | None:
    """Write the schema of a tool's arguments with each type where it applies; None where it is there already."""
    if not text:
        return None
    root = json.loads(text)
    plain = _Plain(root).of(root, (), MAX_LEVELS)
    named: dict[str, Any] = {}
    for part in _parts(plain):
        named = part.get("properties", {}) | named
    if named:
        plain["properties"] = named
    return None if plain == root else plain


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema, and those that hold beside it."""
    if isinstance(schema, dict):
        yield schema
        for part in schema.get("allOf", ()):
            yield from _parts(part)


class _Plain:
    """Writes the schemas of one tool.

    Args:
        root: what references begin from.
    """

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._left = MAX_SCHEMAS

    def of(self, schema: Any, within: tuple[str, ...], levels: int) -> Any:
        """Write one schema.

        Args:
            schema: as it was sent.
            within: references that have led here. One of them again would never end, and stays.
            levels: how many below it are written, too.
        """
        if not isinstance(schema, dict) or not self._left or not levels:
            return schema
        self._left -= 1
        said = dict(schema)
        while isinstance(reference := said.get("$ref"), str) and reference not in within:
            within = (*within, reference)
            target = self._target(reference)
            if target is None:
                break
            del said["$ref"]
            said = target | said
        for name, child in said.items():
            if name == "properties":
                said[name] = {key: self.of(one, within, levels - 1) for key, one in child.items()}
            elif name in ("anyOf", "oneOf", "allOf", "prefixItems"):
                said[name] = [self.of(one, within, levels - 1) for one in child]
            elif name in ("items", "additionalProperties"):
                said[name] = self.of(child, within, levels - 1)
        if "type" not in said and (types := _types(said)):
            said["type"] = types
        return said

    def _target(self, reference: str) -> dict[str, Any] | None:
        try:
            target = resolve(reference, self._root)
        except UnresolvableError:
            return None  # one of the kinds that only the judge of calls follows
        return target if isinstance(target, dict) else None


def _types(schema: dict[str, Any]) -> list[str]:
    """The types that a schema shows by other words than those that vLLM looks at."""
    if "const" in schema:
        return [_TYPES.get(type(schema["const"]), "null")]
    return sorted({kind for keyword, kind in _BY_KEYWORD.items() if keyword in schema})
