"""Where the references of a schema lead: somewhere, and to an end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class UnresolvableError(LookupError):
    """A reference leads nowhere in its schema."""


def resolve(reference: str, root: dict[str, Any]) -> Any:
    """Follow a reference of the form ``#`` or ``#/a/b`` (RFC 6901).

    Raises:
        UnresolvableError: there is nothing.
    """
    if reference not in ("", "#") and not reference.startswith("#/"):
        raise UnresolvableError(reference)
    found: Any = root
    for part in reference.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(name)] if isinstance(found, list) else found[name]
        except (KeyError, IndexError, ValueError, TypeError):
            raise UnresolvableError(reference) from None
    return found


def reference_problem(root: dict[str, Any], place: str) -> str:
    """Tell which reference leads nowhere, or whether no finite value fits the schema; empty where all is well."""
    schemas = dict(_all_schemas(root, place))
    for where, schema in schemas.items():
        if "$ref" not in schema:
            continue
        try:
            target = resolve(schema["$ref"], root)
        except UnresolvableError:
            return f"{where}.$ref: leads to nothing in this schema; only references such as #/$defs/NAME are followed"
        if not isinstance(target, dict | bool):
            return f"{where}.$ref: leads to what is no schema"
    if not _is_finite(root, root, schemas):
        return f"{place}: refers to itself without end, so no answer could ever be complete"
    return ""


def _is_finite(schema: object, root: dict[str, Any], schemas: dict[str, dict[str, Any]]) -> bool:
    """Whether some finite value fits: grown from the schemas that need no other, until nothing is added."""
    ended: set[int] = set()
    while True:
        added = {id(one) for one in schemas.values() if id(one) not in ended and all(_needs(one, root, ended))}
        if not added:
            return not isinstance(schema, dict) or id(schema) in ended
        ended |= added


def _needs(schema: dict[str, Any], root: dict[str, Any], ended: set[int]) -> Iterator[bool]:
    """For each thing that a value of the schema cannot be without: whether it is known to end."""

    def ends(child: object) -> bool:
        return not isinstance(child, dict) or id(child) in ended

    if "$ref" in schema:
        yield ends(resolve(schema["$ref"], root))
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            yield any(ends(branch) for branch in schema[keyword])
    for branch in schema.get("allOf", ()):
        yield ends(branch)
    for child in _parts(schema):
        yield ends(child)


def _parts(schema: dict[str, Any]) -> Iterator[object]:
    """The schemas of what an object or a list cannot be without."""
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        yield from (properties.get(name) for name in schema.get("required", ()))
    if schema.get("type") == "array":
        first, fewest = schema.get("prefixItems", ()), schema.get("minItems", 0)
        yield from first[:fewest]
        if fewest > len(first):
            yield schema.get("items")


def _all_schemas(root: dict[str, Any], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object that might be a schema, by its place; a few that are none do no harm."""
    pending: list[tuple[str, object]] = [(place, root)]
    while pending:
        where, item = pending.pop()
        if isinstance(item, dict):
            yield where, item
            pending.extend((f"{where}.{name}", child) for name, child in item.items() if name not in _DATA)
        elif isinstance(item, list):
            pending.extend((f"{where}[{index}]", child) for index, child in enumerate(item))


_DATA = frozenset({"const", "default", "enum", "example", "examples", "required"})
"""Keywords that hold values rather than schemas."""
