"""Most requests are in order, and that can be seen at a glance: these skip what is there to say what is wrong.

The contract's rules are run by protovalidate, which asks a message for each field that it could have and interprets
expressions. That takes several times as long as this look at the fields that are set. What is not understood here, such
as a rule of another kind or an expression that was changed, goes the long way: all that a glance can find is that a
request is in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from buf.validate import validate_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from palaver_server.rpc.rules import validator
from palaver_server.rpc.support import SUPPORTED_FIELDS, has_unknown
from palaver_server.rpc.sure_rules import Holds, of_field, of_message


class _NotSureError(Exception):
    """Not all is seen to be in order, or there is too much to look at."""


@dataclass(frozen=True, slots=True)
class _Type:
    """What to look at in messages of a type."""

    fields: dict[int, _Field]
    """By number: those that this server acts on and whose rules are understood."""
    needed: tuple[int, ...]
    """Of each of these sets of fields, one is set; a set has the bits of its fields' numbers."""
    rule: Holds
    """Of the whole message. Asked when its fields are in order."""


@dataclass(frozen=True, slots=True)
class _Field:
    """What to look at in a field that is set."""

    bit: int
    rule: Holds
    """Of its value."""
    held: _Type | None
    """Of the message in it, or of each."""
    is_list: bool


def is_in_order(request: Message, most: int) -> bool:
    """Tell whether a request surely breaks no rule and sets nothing but what this server acts on.

    Args:
        request: any of the contract's.
        most: elements that it may have, counted as in ``bounds``; one that has more is not looked through.
    """
    if (kind := _type(request.DESCRIPTOR)) is None:
        return False
    try:
        _count(request, kind, 0, most)
    except _NotSureError:
        return False
    return not has_unknown(request)


def _count(message: Message, kind: _Type, count: int, most: int) -> int:
    """Look through a message, and add its elements to those before it."""
    fields, seen = kind.fields, 0
    for descriptor, value in message.ListFields():
        field = fields.get(descriptor.number)
        if field is None or not field.rule(value):
            raise _NotSureError
        seen |= field.bit
        if field.held is not None:
            if field.is_list:
                count = _count_each(value, field.held, count, most)
            else:
                count = _count(value, field.held, count, most)
    for one_of in kind.needed:
        if not seen & one_of:
            raise _NotSureError
    if not kind.rule(message):
        raise _NotSureError
    return count


def _count_each(messages: Sequence[Message], kind: _Type, count: int, most: int) -> int:
    count += len(messages)
    if count > most:
        raise _NotSureError
    for message in messages:
        count = _count(message, kind, count, most)
    return count


@cache
def _type(kind: Descriptor) -> _Type | None:
    """Made once; None for a type that has rules which are not understood."""
    if (rule := of_message(kind.GetOptions().Extensions[validate_pb2.message])) is None:
        return None
    fields = {field.number: looked_at for field in kind.fields if (looked_at := _field(field)) is not None}
    return _Type(fields, _needed(kind), rule)


def _field(field: FieldDescriptor) -> _Field | None:
    rule = of_field(field, field.GetOptions().Extensions[validate_pb2.field])
    if rule is None or field.full_name not in SUPPORTED_FIELDS:
        return None
    bit, kind = 1 << field.number, field.message_type
    is_map = kind is not None and kind.GetOptions().map_entry
    if kind is None or (is_map and kind.fields_by_name["value"].message_type is None):
        return _Field(bit, rule, None, is_list=False)
    held = _type(kind) if kind.full_name.startswith("palaver.") and not is_map else None
    return None if held is None else _Field(bit, rule, held, is_list=field.is_repeated)


def _needed(kind: Descriptor) -> tuple[int, ...]:
    """What must be set, told by what the rules say of a message in which nothing is."""
    violations = validator.collect_violations(message_factory.GetMessageClass(kind)())
    paths = [violation.proto.field.elements for violation in violations if violation.proto.field]
    needed = []
    for element, *_ in filter(None, paths):
        one_of = kind.oneofs_by_name.get(element.field_name)
        numbers = [element.field_number] if one_of is None else [field.number for field in one_of.fields]
        needed.append(sum(1 << number for number in numbers))
    return tuple(needed)
