"""Requests that are no valid protobuf get an answer that says where, instead of gRPC's own INTERNAL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.message import DecodeError, Message

from palaver_server.core.errors import FieldViolation, PalaverError, Reason

MAX_REPORTED = 16
"""Paths told of one request; more help nobody."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """Bytes that do not parse as the message that a method takes."""

    data: bytes
    descriptor: Descriptor


def lenient_deserializer(parse: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """Wrap a generated ``FromString`` so that bad bytes become a ``Malformed`` instead of an exception."""
    if parse is None:
        return None
    message_class = getattr(parse, "__self__", None)
    if message_class is None or not hasattr(message_class, "DESCRIPTOR"):
        return parse

    def deserialize(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError:
            return Malformed(data, message_class.DESCRIPTOR)

    return deserialize


def raise_if_malformed(request: object) -> None:
    """Refuse a request that did not parse, naming the fields with text that is not UTF-8.

    Raises:
        PalaverError: ``MALFORMED_REQUEST``.
    """
    if not isinstance(request, Malformed):
        return
    paths = [path for path, _ in zip(_invalid_text_paths(request), range(MAX_REPORTED), strict=False)]
    if paths:
        violations = [FieldViolation(path, "the text is not valid UTF-8") for path in paths]
        raise PalaverError(Reason.MALFORMED_REQUEST, f"{paths[0]}: the text is not valid UTF-8", violations=violations)
    raise PalaverError(
        Reason.MALFORMED_REQUEST,
        f"The bytes are no {request.descriptor.full_name} message; the client's stubs may be of another contract.",
    )


def _invalid_text_paths(request: Malformed) -> Iterator[str]:
    """Parse once more with every string field declared as bytes, and look at each."""
    lenient_class = _with_bytes_for_strings(request.descriptor)
    message = lenient_class()
    try:
        message.ParseFromString(request.data)
    except DecodeError:
        return
    yield from _walk(message, "")


def _walk(message: Message, prefix: str) -> Iterator[str]:
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        for item_path, item in _items(field, path, value):
            if isinstance(item, Message):
                yield from _walk(item, f"{item_path}.")
            elif isinstance(item, bytes) and not _is_utf8(item):
                yield item_path


def _items(field: FieldDescriptor, path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        for item in value.values():
            yield path, item
        for key in value:
            yield path, key
    elif field.is_repeated:
        for index, item in enumerate(value):
            yield f"{path}[{index}]", item
    else:
        yield path, value


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@cache
def _with_bytes_for_strings(descriptor: Descriptor) -> type[Message]:
    pool = descriptor_pool.DescriptorPool()
    _add(pool, descriptor.file, set())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(descriptor.full_name))


def _add(pool: descriptor_pool.DescriptorPool, file: FileDescriptor, seen: set[str]) -> None:
    if file.name in seen:
        return
    seen.add(file.name)
    for dependency in file.dependencies:
        _add(pool, dependency, seen)
    copy = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(copy)
    if file.package.startswith("palaver."):
        for message_type in copy.message_type:
            _strings_to_bytes(message_type)
    pool.Add(copy)


def _strings_to_bytes(message_type: descriptor_pb2.DescriptorProto) -> None:
    for field in message_type.field:
        if field.type == descriptor_pb2.FieldDescriptorProto.TYPE_STRING and not message_type.options.map_entry:
            field.type = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
            field.ClearField("default_value")
    for nested in message_type.nested_type:
        _strings_to_bytes(nested)
