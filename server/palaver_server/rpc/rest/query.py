"""Reads a query string against the fields that a method takes there: those that neither path nor body has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from google.protobuf.descriptor import FieldDescriptor

from palaver_server.core.errors import FieldViolation, Reason
from palaver_server.core.strict_json import field_path
from palaver_server.rpc.rest.document import Fault, single_check
from palaver_server.rpc.rest.routes import Route

_BOOLEANS = {"true": True, "false": False}


def faults(query: str, route: Route) -> Iterator[Fault]:
    """Everything that keeps a query string from being fields of the method's request."""
    if not query:
        return
    names = {name: field for field in route.query for name in (field.json_name, field.name)}
    seen: set[str] = set()
    for pair in query.split("&"):
        if not pair:
            continue
        raw_name, _, raw_value = pair.partition("=")
        name = unquote(raw_name)
        path = field_path((name,))
        field = names.get(name)
        if field is None:
            taken = ", ".join(field.name for field in route.query)
            takes = f"this method takes {taken}" if taken else "this method takes none"
            yield Reason.FIELD_NOT_SUPPORTED, FieldViolation(path, f"there is no such query parameter; {takes}")
        elif field.name in seen:
            yield Reason.MALFORMED_REQUEST, FieldViolation(path, "stands twice in the query; write it once")
        else:
            seen.add(field.name)
            yield from _value_faults(field, name, raw_value)


def _value_faults(field: FieldDescriptor, name: str, raw: str) -> Iterator[Fault]:
    try:
        text = unquote(raw, errors="strict")
    except UnicodeDecodeError:
        yield Reason.MALFORMED_REQUEST, FieldViolation(field_path((name,)), "the text is not valid UTF-8")
        return
    yield from single_check(field)(_typed(field, text), (name,))


def _typed(field: FieldDescriptor, text: str) -> Any:
    """The value that a text means for a field of this type; the text itself where it means none."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _BOOLEANS.get(text, text)
    if field.cpp_type in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32):
        try:
            return int(text) if text.isascii() and text.strip() == text and "_" not in text else text
        except ValueError:
            return text
    return text
