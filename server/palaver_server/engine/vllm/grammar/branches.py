"""Whether a value can fit two branches of ``oneOf``, which xgrammar takes for ``anyOf``."""

from __future__ import annotations

import itertools
import json
from typing import Any

from palaver_server.engine.vllm.grammar.references import resolve

MAX_HOPS = 16
"""References that lead to references."""


def are_disjoint(branches: list[Any], root: dict[str, Any]) -> bool:
    """Whether no value fits two of them: they differ in type, or in the values of a property that both require."""
    resolved = [_resolved(branch, root) for branch in branches]
    return all(_differ(one, other, root) for one, other in itertools.combinations(resolved, 2))


def has_only_types(schema: dict[str, Any], combiner: str, root: dict[str, Any]) -> bool:
    """Whether what a combiner leads to has no type but those that stand beside the combiner."""
    branches = [schema] if combiner == "$ref" else schema[combiner]
    resolved = [_resolved(branch, root) for branch in branches]
    return all(isinstance(one, dict) and _types(one) and _types(one) <= _types(schema) for one in resolved)


def _differ(one: Any, other: Any, root: dict[str, Any]) -> bool:
    if not isinstance(one, dict) or not isinstance(other, dict):
        return False
    values, other_values = _values(one), _values(other)
    if values is not None and other_values is not None:
        return values.isdisjoint(other_values)
    types, other_types = _types(one), _types(other)
    if types and other_types and types.isdisjoint(other_types):
        return True
    if types != {"object"} or other_types != {"object"}:
        return False
    return any(
        _differ(_resolved(one["properties"][name], root), _resolved(other["properties"][name], root), root)
        for name in set(_required(one)) & set(_required(other))
    )


def _required(schema: dict[str, Any]) -> list[str]:
    return [name for name in schema.get("required", ()) if name in schema.get("properties", {})]


def _types(schema: dict[str, Any]) -> set[str]:
    said = schema.get("type", ())
    types = {said} if isinstance(said, str) else set(said)
    return {"number" if kind == "integer" else kind for kind in types}


def _values(schema: dict[str, Any]) -> set[str] | None:
    if "const" in schema:
        return {json.dumps(schema["const"], sort_keys=True)}
    if "enum" in schema:
        return {json.dumps(value, sort_keys=True) for value in schema["enum"]}
    return None


def _resolved(schema: Any, root: dict[str, Any]) -> Any:
    for _ in range(MAX_HOPS):
        if not isinstance(schema, dict) or "$ref" not in schema:
            break
        schema = resolve(schema["$ref"], root)
    return schema
