"""How much a request may hold. Asked before any rule runs: rules cost by the element."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from palaver_server.core.errors import invalid_field

MAX_ELEMENTS = 16_384
"""Messages, pieces of content, tool calls, tools: of one request, all together. Every rule of the contract's looks at
each of them, which takes some 20 us; agents of a whole day have some thousands."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A field that holds elements, or messages that may."""

    name: str
    most: int
    """Items or pairs that the contract allows; 0 for any number."""
    is_repeated: bool
    holds_messages: bool
    parts: tuple[_Part, ...]
    """Those of the messages in it."""


def count_elements(request: Message) -> int:
    """Count the elements of a request, at every depth.

    Raises:
        PalaverError: ``INVALID_FIELD``: a list or a map is longer than the contract has it, or all together are.
    """
    return _count(request, _parts(request.DESCRIPTOR), "", 0)


def most_items(field: FieldDescriptor) -> int:
    """How many items or pairs the contract allows in a list or a map; 0 where it does not say."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    most: int = rules.map.max_pairs or rules.repeated.max_items
    return most


def too_long(most: int) -> str:
    """What is said of a longer list."""
    return f"must contain no more than {most} item(s)"


def too_many_elements() -> str:
    """What is said of a list with which a request becomes too large."""
    return f"a request must contain no more than {MAX_ELEMENTS} messages, content parts, tool calls and tools together"


def _count(message: Message, parts: tuple[_Part, ...], prefix: str, count: int) -> int:
    for part in parts:
        if not part.is_repeated:
            if message.HasField(part.name):
                count = _count(getattr(message, part.name), part.parts, f"{prefix}{part.name}.", count)
            continue
        items = getattr(message, part.name)
        length = len(items)
        if part.most and length > part.most:
            raise invalid_field(f"{prefix}{part.name}", too_long(part.most))
        if part.holds_messages:
            count += length
            if count > MAX_ELEMENTS:
                raise invalid_field(f"{prefix}{part.name}", too_many_elements())
            if part.parts:
                for index, item in enumerate(items):
                    count = _count(item, part.parts, f"{prefix}{part.name}[{index}].", count)
    return count


@cache
def _parts(kind: Descriptor) -> tuple[_Part, ...]:
    """The fields to look at in one type of message, found once."""
    parts = (_part(field) for field in kind.fields)
    return tuple(part for part in parts if part.is_repeated or part.parts)


def _part(field: FieldDescriptor) -> _Part:
    kind = field.message_type
    is_ours = kind is not None and kind.full_name.startswith("palaver.") and not kind.GetOptions().map_entry
    return _Part(
        field.name,
        most_items(field) if field.is_repeated else 0,
        field.is_repeated,
        is_ours,
        _parts(kind) if is_ours else (),
    )
