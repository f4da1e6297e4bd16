"""JSON Schemas (draft 2020-12, as OpenAPI 3.1 has them) of the messages, with the rules that stand beside the fields.

Two rules of the JSON mapping show here. A field of a request may be null, which leaves it unset, unless it is required
or one of a choice. A field of an answer that has its default (0, false, empty) is left out.
Rules in CEL that speak of several fields have no counterpart in JSON Schema; the comments tell them.
"""

from __future__ import annotations

import re
from typing import Any

from buf.validate import validate_pb2
from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, OneofDescriptor

from protos.openapi.comments import Comments

Schema = dict[str, Any]

_INT32: Schema = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}
_SCALARS: dict[int, Schema] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_INT32: _INT32,
    # Numbers of 64 bits are text in JSON. The contract has none; the errors of google.rpc have.
    FieldDescriptor.TYPE_INT64: {"type": "string", "format": "int64"},
}
_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    # Seconds with the letter s. A Duration ends amid the numbers of twelve digits.
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]{1,11}(\.[0-9]{1,9})?s$"},
}
_DURATION_NOT_NEGATIVE: Schema = {"type": "string", "pattern": r"^[0-9]{1,11}(\.[0-9]{1,9})?s$"}
# An Any in JSON: the fields of the message that it holds, and its type.
_ANY: Schema = {
    "type": "object",
    "properties": {"@type": {"type": "string", "description": "The type of the other fields, as a URL."}},
    "required": ["@type"],
}
_MATCHES = re.compile(r"this\.matches\('([^']*)'\)")

# The keyword of JSON Schema for each rule of protovalidate, where there is one. Bytes are an upper bound of characters.
_KEYWORDS = {
    "gt": "exclusiveMinimum",
    "gte": "minimum",
    "lt": "exclusiveMaximum",
    "lte": "maximum",
    "min_len": "minLength",
    "max_len": "maxLength",
    "max_bytes": "maxLength",
    "pattern": "pattern",
    "min_items": "minItems",
    "max_items": "maxItems",
    "unique": "uniqueItems",
    "min_pairs": "minProperties",
    "max_pairs": "maxProperties",
    "const": "const",
}


class Schemas:
    """Collects the components that are referred to.

    Args:
        comments: what descriptions are made of.
        requested: messages that callers send; in these, nothing but what is known may stand.
    """

    def __init__(self, comments: Comments, requested: list[Descriptor]) -> None:
        self._comments = comments
        self._sent = set[Descriptor]()
        for message in requested:
            self._note_sent(message)
        self.components: dict[str, Schema] = {}

    def reference(self, message: Descriptor | EnumDescriptor) -> Schema:
        """A reference to the component of a message or an enum, which is made if it is not there."""
        name = message.full_name.removeprefix(f"{message.file.package}.")
        if name not in self.components:
            self.components[name] = {}  # messages may hold themselves
            self.components[name] = (
                self._enum(message) if isinstance(message, EnumDescriptor) else self._message(message)
            )
        return {"$ref": f"#/components/schemas/{name}"}

    def field(self, field: FieldDescriptor) -> Schema:
        """The schema of a field with its rules and its description."""
        rules = field.GetOptions().Extensions[validate_pb2.field]
        entry = field.message_type if field.message_type and field.message_type.GetOptions().map_entry else None
        if entry is not None:
            schema = self._map(entry, rules)
        elif field.is_repeated:
            schema = {"type": "array", "items": self._single(field, rules.repeated.items), **_limits(rules.repeated)}
        else:
            schema = self._single(field, rules)
            if not field.has_presence and field.containing_type not in self._sent:
                schema |= _default(field)
        if self._is_nullable(field):
            schema = _or_null(schema)
        if field_behavior_pb2.OUTPUT_ONLY in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]:
            schema["readOnly"] = True
        description = self._comments[field.full_name]
        return {"description": description, **schema} if description else schema

    def _note_sent(self, message: Descriptor) -> None:
        if message not in self._sent:
            self._sent.add(message)
            for field in message.fields:
                if field.message_type is not None:
                    self._note_sent(field.message_type)

    def _message(self, message: Descriptor) -> Schema:
        schema: Schema = {
            "type": "object",
            "description": self._comments[message.full_name],
            "properties": {field.name: self.field(field) for field in message.fields},
        }
        if required := [field.name for field in message.fields if is_required(field)]:
            schema["required"] = required
        if choices := [_choice(oneof) for oneof in message.oneofs if not _is_of_one_optional(oneof)]:
            schema |= choices[0] if len(choices) == 1 else {"allOf": choices}
        if message in self._sent:
            schema["additionalProperties"] = False
        return schema

    def _enum(self, enum: EnumDescriptor) -> Schema:
        # The first value of every enum of the contract says that nothing is said: JSON leaves the field out.
        names = [value.name for value in enum.values[1:]]
        scope = enum.full_name
        meanings = "\n".join(f"- `{name}`: {self._comments[f'{scope}.{name}']}" for name in names)
        return {"type": "string", "description": f"{self._comments[scope]}\n\n{meanings}", "enum": names}

    def _single(self, field: FieldDescriptor, rules: validate_pb2.FieldRules) -> Schema:
        if field.enum_type is not None:
            return self.reference(field.enum_type)
        if field.message_type is None:
            return _SCALARS[field.type] | _scalar_rules(rules)
        name = field.message_type.full_name
        if name == "google.protobuf.Duration" and "gt" in _set_rules(rules.duration):
            return dict(_DURATION_NOT_NEGATIVE)
        if name == "google.protobuf.Any":
            return dict(_ANY)
        return dict(_WELL_KNOWN[name]) if name in _WELL_KNOWN else self.reference(field.message_type)

    def _map(self, entry: Descriptor, rules: validate_pb2.FieldRules) -> Schema:
        key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
        names = _key_schema(key, rules.map.keys)
        return {
            "type": "object",
            "additionalProperties": self._single(value, rules.map.values),
            **({"propertyNames": names} if names else {}),
            **_limits(rules.map),
        }

    def _is_nullable(self, field: FieldDescriptor) -> bool:
        oneof = field.containing_oneof
        is_choice = oneof is not None and not _is_of_one_optional(oneof)
        return field.containing_type in self._sent and not is_required(field) and not is_choice


def is_required(field: FieldDescriptor) -> bool:
    """Tell whether a message without this field is refused."""
    options = field.GetOptions()
    is_declared = field_behavior_pb2.REQUIRED in options.Extensions[field_behavior_pb2.field_behavior]
    rules = options.Extensions[validate_pb2.field]
    kind = rules.WhichOneof("type")
    # An empty text or a zero is left out in JSON, so a rule against it makes the field required.
    refuses_zero = not field.has_presence and (
        rules.string.min_len > 0
        or rules.repeated.min_items > 0
        or (kind == "int32" and (rules.int32.gte > 0 or (rules.int32.HasField("gt") and rules.int32.gt >= 0)))
        or _refuses_empty(rules)
    )
    return is_declared or rules.required or refuses_zero


def _refuses_empty(rules: validate_pb2.FieldRules) -> bool:
    pattern = _pattern(rules)
    return bool(pattern) and rules.ignore != validate_pb2.IGNORE_IF_ZERO_VALUE and not re.search(pattern, "")


def _pattern(rules: validate_pb2.FieldRules) -> str:
    """The regular expression that a field's rule in CEL consists of; empty where there is none."""
    found = [match for rule in rules.cel if (match := _MATCHES.fullmatch(rule.expression))]
    return found[0][1] if found else ""


def _scalar_rules(rules: validate_pb2.FieldRules) -> Schema:
    kind = rules.WhichOneof("type")
    schema = _limits(getattr(rules, kind)) if kind else {}
    if pattern := _pattern(rules):
        if rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE:
            pattern = f"^$|{pattern}"
        schema["pattern"] = pattern
    return schema


def _limits(rules: Any) -> Schema:
    return {_KEYWORDS[name]: _plain(value) for name, value in _set_rules(rules).items() if name in _KEYWORDS}


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _set_rules(rules: Any) -> dict[str, Any]:
    return {field.name: value for field, value in rules.ListFields()} | {
        name: getattr(rules, name)
        for name in (rules.WhichOneof(oneof.name) for oneof in rules.DESCRIPTOR.oneofs)
        if name is not None
    }


def _key_schema(key: FieldDescriptor, rules: validate_pb2.FieldRules) -> Schema:
    if key.type == FieldDescriptor.TYPE_INT32:
        sign = "" if rules.int32.HasField("gte") and rules.int32.gte >= 0 else "-?"
        return {"pattern": rf"^{sign}(0|[1-9][0-9]{{0,8}})$"}  # nine digits are sure to fit into 32 bits
    return _scalar_rules(rules)


def _default(field: FieldDescriptor) -> Schema:
    zeros: dict[int, Any] = {
        FieldDescriptor.TYPE_INT32: 0,
        FieldDescriptor.TYPE_DOUBLE: 0,
        FieldDescriptor.TYPE_BOOL: False,
        FieldDescriptor.TYPE_STRING: "",
        FieldDescriptor.TYPE_BYTES: "",
    }
    return {"default": zeros[field.type]} if field.type in zeros else {}


def _or_null(schema: Schema) -> Schema:
    if isinstance(schema.get("type"), str):
        return schema | {"type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def _is_of_one_optional(oneof: OneofDescriptor) -> bool:
    # protoc makes a oneof of one field for each `optional`, and names it so.
    return len(oneof.fields) == 1 and oneof.name == f"_{oneof.fields[0].name}"


def _choice(oneof: OneofDescriptor) -> Schema:
    """That at most one of a oneof's fields is there; exactly one, where that is required."""
    alternatives: list[Schema] = [{"required": [field.name]} for field in oneof.fields]
    if not oneof.GetOptions().Extensions[validate_pb2.oneof].required:
        alternatives.append({"not": {"anyOf": list(alternatives)}})
    return {"oneOf": alternatives}
