"""The comments of the protos, by the full name of what they stand before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto

# Field numbers of descriptor.proto, of which the paths of comments are made.
_FILE_MESSAGE, _FILE_ENUM, _FILE_SERVICE = 4, 5, 6
_MESSAGE_FIELD, _MESSAGE_NESTED, _MESSAGE_ENUM, _MESSAGE_ONEOF = 2, 3, 4, 8
_ENUM_VALUE = 2
_SERVICE_METHOD = 2

Place = tuple[int, ...]


class Comments:
    """Looks up what was said about an element; nothing was said about an unknown one."""

    def __init__(self, files: Iterable[FileDescriptorProto]) -> None:
        self._texts: dict[str, str] = {}
        for file in files:
            said = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
            for name, place in _elements(file):
                self._texts[name] = _flowing(said.get(place, ""))

    def __getitem__(self, full_name: str) -> str:
        return self._texts.get(full_name, "")


def _elements(file: FileDescriptorProto) -> Iterator[tuple[str, Place]]:
    for index, message in enumerate(file.message_type):
        yield from _of_message(message, file.package, (_FILE_MESSAGE, index))
    for index, enum in enumerate(file.enum_type):
        yield from _of_enum(enum, file.package, (_FILE_ENUM, index))
    for index, service in enumerate(file.service):
        name = f"{file.package}.{service.name}"
        yield name, (_FILE_SERVICE, index)
        names = [method.name for method in service.method]
        yield from _named(names, name, (_FILE_SERVICE, index, _SERVICE_METHOD))


def _of_message(message: DescriptorProto, scope: str, place: Place) -> Iterator[tuple[str, Place]]:
    name = f"{scope}.{message.name}"
    yield name, place
    yield from _named([field.name for field in message.field], name, (*place, _MESSAGE_FIELD))
    yield from _named([oneof.name for oneof in message.oneof_decl], name, (*place, _MESSAGE_ONEOF))
    for index, nested in enumerate(message.nested_type):
        yield from _of_message(nested, name, (*place, _MESSAGE_NESTED, index))
    for index, enum in enumerate(message.enum_type):
        yield from _of_enum(enum, name, (*place, _MESSAGE_ENUM, index))


def _of_enum(enum: EnumDescriptorProto, scope: str, place: Place) -> Iterator[tuple[str, Place]]:
    name = f"{scope}.{enum.name}"
    yield name, place
    yield from _named([value.name for value in enum.value], name, (*place, _ENUM_VALUE))


def _named(names: Sequence[str], scope: str, place: Place) -> Iterator[tuple[str, Place]]:
    yield from ((f"{scope}.{name}", (*place, index)) for index, name in enumerate(names))


def _flowing(comment: str) -> str:
    """A comment without the line breaks of its file; paragraphs and lists stay."""
    lines = [line.removeprefix(" ").rstrip() for line in comment.strip("\n").split("\n")]
    return re.sub(r"(?<=\S)\n(?=[^\s*-])", " ", "\n".join(lines)).strip()
