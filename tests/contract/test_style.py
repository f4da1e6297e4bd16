"""What holds for every element of the contract, whatever it means."""

import re
from collections.abc import Iterator

import pytest
from buf.validate import validate_pb2
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import Default

from palaver.v1 import chat_service_pb2, model_service_pb2, openai_service_pb2, web_service_pb2

SERVICES = [
    chat_service_pb2.DESCRIPTOR.services_by_name["ChatService"],
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"],
    openai_service_pb2.DESCRIPTOR.services_by_name["OpenAIService"],
    web_service_pb2.DESCRIPTOR.services_by_name["WebService"],
]
# RPCs that cannot be called over REST. There are none, and each that comes needs its reason here.
WITHOUT_HTTP: set[str] = set()
WIDE = {
    FieldDescriptorProto.TYPE_INT64,
    FieldDescriptorProto.TYPE_UINT64,
    FieldDescriptorProto.TYPE_SINT64,
    FieldDescriptorProto.TYPE_FIXED64,
    FieldDescriptorProto.TYPE_SFIXED64,
}

Path = tuple[int, ...]


def of_enum(enum: EnumDescriptorProto, name: str, path: Path) -> Iterator[tuple[str, Path]]:
    yield name, path
    yield from ((f"{name}.{value.name}", (*path, 2, i)) for i, value in enumerate(enum.value))


def of_message(message: DescriptorProto, name: str, path: Path) -> Iterator[tuple[str, Path]]:
    if message.options.map_entry:
        return
    yield name, path
    yield from ((f"{name}.{field.name}", (*path, 2, i)) for i, field in enumerate(message.field))
    for i, oneof in enumerate(message.oneof_decl):
        if not oneof.name.startswith("_"):  # that is how protoc marks an `optional` field
            yield f"{name}.{oneof.name}", (*path, 8, i)
    for i, nested in enumerate(message.nested_type):
        yield from of_message(nested, f"{name}.{nested.name}", (*path, 3, i))
    for i, enum in enumerate(message.enum_type):
        yield from of_enum(enum, f"{name}.{enum.name}", (*path, 4, i))


def elements(file: FileDescriptorProto) -> Iterator[tuple[str, Path]]:
    """Every element that needs a comment: its full name, and its path in descriptor.proto's source info."""
    for i, message in enumerate(file.message_type):
        yield from of_message(message, message.name, (4, i))
    for i, enum in enumerate(file.enum_type):
        yield from of_enum(enum, enum.name, (5, i))
    for i, service in enumerate(file.service):
        yield service.name, (6, i)
        yield from ((f"{service.name}.{method.name}", (6, i, 2, j)) for j, method in enumerate(service.method))


def test_every_element_has_a_comment_in_whole_sentences(contract: list[FileDescriptorProto]) -> None:
    bad, seen = [], 0
    for file in contract:
        comments = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
        for name, path in elements(file):
            seen += 1
            comment = " ".join(comments.get(path, "").split())
            if not re.fullmatch(r"[A-Z`].*[.]", comment):
                bad.append(f"{name}: {comment!r}")
    assert seen > 200, "the walk has lost its way"
    assert bad == []


def test_no_field_is_a_64_bit_integer(contract: list[FileDescriptorProto]) -> None:
    def wide(message: DescriptorProto) -> Iterator[str]:
        yield from (f"{message.name}.{field.name}" for field in message.field if field.type in WIDE)
        for nested in message.nested_type:  # the entries of maps, too
            yield from wide(nested)

    assert [name for file in contract for message in file.message_type for name in wide(message)] == []


def test_every_real_number_is_a_double(contract: list[FileDescriptorProto]) -> None:
    singles = [
        f"{message.name}.{field.name}"
        for file in contract
        for message in file.message_type
        for field in message.field
        if field.type == FieldDescriptorProto.TYPE_FLOAT
    ]
    assert singles == []


def test_every_rpc_can_be_called_over_rest() -> None:
    found = {
        method.full_name: method.GetOptions().Extensions[annotations_pb2.http].WhichOneof("pattern")
        for service in SERVICES
        for method in service.methods
    }
    assert len(found) == 12
    assert {name for name, pattern in found.items() if pattern is None} == WITHOUT_HTTP


def test_every_file_names_its_go_and_java_packages(contract: list[FileDescriptorProto]) -> None:
    for file in contract:
        assert file.options.go_package == "github.com/palaver-chat/palaver/gen/go/palaver/v1;palaverv1", file.name
        assert file.options.java_package == "dev.palaver.v1", file.name
        assert file.options.java_multiple_files, file.name


@pytest.mark.parametrize("name", ["GenerationOptions", "ReasoningOptions", "ResponseOptions", "ContextPolicy"])
def test_every_knob_can_be_told_from_its_zero(name: str) -> None:
    knobs = Default().FindMessageTypeByName(f"palaver.v1.{name}").fields
    assert [knob.name for knob in knobs if not knob.is_repeated and not knob.has_presence] == []


def requests() -> Iterator[Descriptor]:
    """Every message of the contract that a caller can send, found from the RPCs down."""
    todo = [method.input_type for service in SERVICES for method in service.methods]
    seen: set[str] = set()
    while todo:
        message = todo.pop()
        if message.full_name in seen or not message.full_name.startswith("palaver.v1."):
            continue
        seen.add(message.full_name)
        todo += [field.message_type for field in message.fields if field.message_type and is_read(field)]
        if not message.GetOptions().map_entry:
            yield message


def is_read(field: FieldDescriptor) -> bool:
    behaviours = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return field_behavior_pb2.OUTPUT_ONLY not in behaviours


def is_bounded(field: FieldDescriptor) -> bool:
    """Whether the rules bound the size of a text or a list, and of the texts in a list."""

    def text(rules: validate_pb2.FieldRules) -> bool:
        # A rule of our own is trusted to bound: the table in test_rules.py tries each with a text that is too long.
        return rules.string.HasField("max_len") or rules.string.HasField("max_bytes") or len(rules.cel) > 0

    rules = field.GetOptions().Extensions[validate_pb2.field]
    entry = field.message_type if field.message_type and field.message_type.GetOptions().map_entry else None
    if entry:
        texts = [entry.fields_by_name[key].type == FieldDescriptor.TYPE_STRING for key in ("key", "value")]
        sides = (rules.map.keys, rules.map.values)
        return rules.map.HasField("max_pairs") and all(
            text(side) for side, is_text in zip(sides, texts, strict=True) if is_text
        )
    if field.is_repeated:
        items = field.type != FieldDescriptor.TYPE_STRING or text(rules.repeated.items)
        return rules.repeated.HasField("max_items") and items
    return field.type not in {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES} or text(rules)


def test_every_text_and_list_that_a_caller_sends_is_bounded() -> None:
    messages = list(requests())
    assert {"ChatRequest", "Message", "ContentPart", "Tool", "GenerationOptions"} <= {
        message.name for message in messages
    }
    assert [
        field.full_name for message in messages for field in message.fields if is_read(field) and not is_bounded(field)
    ] == []


def test_rules_of_our_own_say_which_field_they_are_about() -> None:
    """The id of a message's rule begins with the field it is about; that of a field's rule has no full stop.

    So whoever reports a violation can name a field in either case. Each rule says in words what it wants.
    """
    count = 0
    for message in requests():
        for rule in message.GetOptions().Extensions[validate_pb2.message].cel:
            count += 1
            assert rule.id.partition(".")[0] in message.fields_by_name, rule.id
            assert rule.message, rule.id
        for field in message.fields:
            rules = field.GetOptions().Extensions[validate_pb2.field]
            for rule in (*rules.cel, *rules.map.keys.cel, *rules.repeated.items.cel):
                count += 1
                assert "." not in rule.id, rule.id
                assert rule.message, rule.id
    assert count > 15
