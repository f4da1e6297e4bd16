"""Reads a JSON document against a message of the contract, as proto3's JSON mapping has it, and names what is wrong.

Taken is what every printer of that mapping writes (https://protobuf.dev/programming-guides/json): fields by their own
names or in lowerCamelCase, enums by name, numbers as numbers; and null for a field that is left unset, which is how
many languages write one. What the mapping allows beyond that (numbers in quotes, enums as numbers) is refused, so that
the OpenAPI document says all that there is.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from palaver_server.core.errors import FieldViolation, Reason
from palaver_server.core.strict_json import field_path
from palaver_server.rpc.bounds import most_items, too_long

Fault = tuple[Reason, FieldViolation]
Path = tuple[str | int, ...]
Check = Callable[[Any, Path], Iterator[Fault]]

_INTEGERS: Mapping[int, tuple[int, int]] = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
}
_KINDS: Mapping[type, str] = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)", re.ASCII)
MAX_LISTED = 16
"""Names told of an enum."""


def faults(document: Any, message: Descriptor, path: Path = ()) -> Iterator[Fault]:
    """Everything that keeps a document from being this message, in the order of the document."""
    yield from _message_check(message)(document, path)


@cache
def _message_check(message: Descriptor) -> Check:
    """The check of one message type, made once."""
    if message.full_name.startswith("google.protobuf."):
        return _well_known_check(message)
    names = {name: field for field in message.fields for name in (field.json_name, field.name)}
    checks = {field.name: _field_check(field) for field in message.fields}

    def check(value: Any, path: Path) -> Iterator[Fault]:
        if not isinstance(value, dict):
            yield _wrong_kind(path, "an object", value)
            return
        written: dict[str, str] = {}
        for key, item in value.items():
            field = names.get(key)
            if field is None:
                yield _unknown(path, key, names)
            elif (before := written.setdefault(field.name, key)) != key:
                yield _fault((*path, key), f"is {field.name} once more, which stands there as {before}; write it once")
            else:
                yield from checks[field.name](item, (*path, key))

    return check


def _field_check(field: FieldDescriptor) -> Check:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return _map_check(field.message_type, most_items(field))
    if field.is_repeated:
        return _list_check(field)
    single = single_check(field)
    if is_choice(field):
        return single
    return lambda value, path: iter(()) if value is None else single(value, path)


def is_choice(field: FieldDescriptor) -> bool:
    """Tell whether a field is one of a oneof's kinds, so that its being there says something."""
    oneof = field.containing_oneof
    # protoc makes a oneof of one field for each `optional`, and names it with an underscore.
    return oneof is not None and oneof.name != f"_{field.name}"


def single_check(field: FieldDescriptor) -> Check:
    """The check of one value of a field."""
    if field.message_type is not None:
        return _message_check(field.message_type)
    if field.enum_type is not None:
        return _enum_check(field.enum_type)
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_BOOL:
            return _kind_check(bool, "true or false")
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return _check_number
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_STRING:
            return _kind_check(str, "text")
    bounds = _INTEGERS.get(field.cpp_type)
    if bounds is None:
        raise NotImplementedError(f"{field.full_name}: the contract has no such type yet")
    return _integer_check(*bounds)


def _list_check(field: FieldDescriptor) -> Check:
    single = single_check(field)
    most = most_items(field)

    def check(value: Any, path: Path) -> Iterator[Fault]:
        if value is None:
            return
        if not isinstance(value, list):
            yield _wrong_kind(path, "a list", value)
            return
        if most and len(value) > most:
            yield _fault(path, too_long(most))
            return
        for index, item in enumerate(value):
            yield from single(item, (*path, index))

    return check


def _map_check(entry: Descriptor, most: int) -> Check:
    key_field, value_field = entry.fields_by_name["key"], entry.fields_by_name["value"]
    single = single_check(value_field)
    bounds = _INTEGERS.get(key_field.cpp_type)

    def check(value: Any, path: Path) -> Iterator[Fault]:
        if value is None:
            return
        if not isinstance(value, dict):
            yield _wrong_kind(path, "an object", value)
            return
        if most and len(value) > most:
            yield _fault(path, too_long(most))
            return
        for key, item in value.items():
            if bounds is not None and not (_DECIMAL.fullmatch(key) and bounds[0] <= int(key) <= bounds[1]):
                yield _fault((*path, key), f"the key must be a whole number from {bounds[0]} to {bounds[1]}")
            else:
                yield from single(item, (*path, key))

    return check


def _kind_check(kind: type, name: str) -> Check:
    def check(value: Any, path: Path) -> Iterator[Fault]:
        if not isinstance(value, kind):
            yield _wrong_kind(path, name, value)

    return check


def _check_number(value: Any, path: Path) -> Iterator[Fault]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield _wrong_kind(path, "a number", value)
        return
    try:
        is_finite = math.isfinite(value)
    except OverflowError:  # an integer beyond every double
        is_finite = False
    if not is_finite:
        yield _fault(path, "the number is too large")


def _integer_check(lowest: int, highest: int) -> Check:
    def check(value: Any, path: Path) -> Iterator[Fault]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield _wrong_kind(path, "a whole number", value)
        elif isinstance(value, float) and not value.is_integer():
            yield _fault(path, "must be a whole number")
        elif not lowest <= value <= highest:
            yield _fault(path, f"must be from {lowest} to {highest}")

    return check


def _enum_check(enum: EnumDescriptor) -> Check:
    names = frozenset(enum.values_by_name)
    # The first value of each enum of the contract says that nothing is said.
    listed = ", ".join(value.name for value in enum.values[1:MAX_LISTED])

    def check(value: Any, path: Path) -> Iterator[Fault]:
        if value not in names if isinstance(value, str) else True:
            yield _fault(path, f"must be one of {listed}")

    return check


def _well_known_check(message: Descriptor) -> Check:
    """Types whose JSON is not an object with their fields, such as Duration: protobuf's own reader knows them."""
    message_class = message_factory.GetMessageClass(message)

    def check(value: Any, path: Path) -> Iterator[Fault]:
        try:
            json_format.ParseDict(value, message_class())
        except (json_format.ParseError, ValueError, TypeError, AttributeError):
            yield _fault(path, _WELL_KNOWN_FORMS.get(message.full_name, f"is no {message.full_name}"))

    return check


_WELL_KNOWN_FORMS: Mapping[str, str] = {
    "google.protobuf.Duration": 'must be text such as "1.5s": seconds, and the letter s',
    "google.protobuf.Timestamp": 'must be text such as "2026-01-31T12:00:00Z", as RFC 3339 has it',
}


def _unknown(path: Path, key: str, names: Mapping[str, FieldDescriptor]) -> Fault:
    close = difflib.get_close_matches(key[:64], [field.name for field in names.values()], n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return _fault((*path, key), f"there is no such field{hint}", Reason.FIELD_NOT_SUPPORTED)


def _wrong_kind(path: Path, wanted: str, value: Any) -> Fault:
    return _fault(path, f"must be {wanted}, not {_KINDS[type(value)]}")


def _fault(path: Path, description: str, reason: Reason = Reason.INVALID_FIELD) -> Fault:
    return reason, FieldViolation(field_path(path), description)
