"""Demanded calls as a list in JSON, for models whose calls have no grammar.

vLLM says the same, but in a schema that puts ``type`` beside ``anyOf``, where xgrammar does not heed it, and that has
the definitions of all tools in one place, so that two tools must not mean different things by one name.
"""

from __future__ import annotations

from typing import Any

from palaver_server.core.generation import GenerationRequest
from palaver_server.engine.tool_judge import parameters

_DATA = frozenset({"const", "default", "enum", "example", "examples"})
"""Keywords that hold values rather than schemas."""


def list_schema(request: GenerationRequest) -> dict[str, Any]:
    """The schema of a list of calls, of any of the tools on offer."""
    definitions = {f"tool{place}": parameters(tool) for place, tool in enumerate(request.tools)}
    for name, schema in definitions.items():
        _move_references(schema, f"#/$defs/{name}")
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.name}, "parameters": {"$ref": f"#/$defs/{name}"}},
            "required": ["name", "parameters"],
            "additionalProperties": False,
        }
        for tool, name in zip(request.tools, definitions, strict=True)
    ]
    listed: dict[str, Any] = {"type": "array", "minItems": 1, "items": {"anyOf": calls}, "$defs": definitions}
    if not request.is_parallel_calling:
        listed["maxItems"] = 1
    return listed


def _move_references(schema: dict[str, Any], root: str) -> None:
    """Have the references within a schema begin at its new place."""
    pending: list[Any] = [schema]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, dict):
            reference = item.get("$ref")
            if isinstance(reference, str) and reference.startswith("#"):
                item["$ref"] = root + reference.removeprefix("#")
            pending.extend(child for name, child in item.items() if name not in _DATA)
