"""What xgrammar would drop without a word, or never come to the end of, found in a schema and told with its place.

An answer that was asked for by a schema must fit it. xgrammar 0.2 passes over keywords that it does not enforce, so
each keyword is allowed here by name; see ``json_schema_converter.cc`` of xgrammar, and the list in vLLM's
``has_xgrammar_unsupported_json_features``. Annotations are allowed, and names that begin with ``x-``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import xgrammar as xgr
from jsonschema import Draft202012Validator, SchemaError, ValidationError

from palaver_server.core import strict_json
from palaver_server.core.errors import PalaverError
from palaver_server.engine.nesting import depth
from palaver_server.engine.vllm.grammar.branches import are_disjoint, has_only_types
from palaver_server.engine.vllm.grammar.form import Form, Kind
from palaver_server.engine.vllm.grammar.library import sentence
from palaver_server.engine.vllm.grammar.references import reference_problem

MAX_DEPTH = 64
"""Levels of nesting; as many as vLLM takes."""

ANNOTATIONS = frozenset(
    {"$schema", "$id", "$comment", "title", "description", "default", "example", "examples", "deprecated"}
    | {"readOnly", "writeOnly", "discriminator", "contentEncoding", "contentMediaType"}
)
DEFINITIONS = frozenset({"$defs", "definitions"})
COMBINERS = ("$ref", "anyOf", "oneOf", "allOf")
"""xgrammar heeds one of them, and then nothing that stands beside it."""
BY_TYPE = {
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems"}),
    "object": frozenset(
        {"properties", "required", "additionalProperties", "patternProperties", "propertyNames"}
        | {"minProperties", "maxProperties"}
    ),
}
FORMATS = frozenset(
    {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "json-pointer", "relative-json-pointer"}
    | {"time", "uri", "uri-reference", "uri-template", "uuid"}
)
_TYPE_OF = {keyword: kind for kind, keywords in BY_TYPE.items() for keyword in keywords}
_VALUES = frozenset({"type", "const", "enum"})

_ESCAPED_IN_JSON = re.compile(r'["\x00-\x1f]|\\[\\nrtfv0xuc]')

Found = Iterator[tuple[str, str]]
"""Places and what is wrong there."""


def form_problem(form: Form) -> str:
    """Tell what is wrong with a form before it is compiled; empty where nothing is."""
    if form.kind is Kind.JSON:
        return schema_problem(form.text)
    if form.kind is Kind.TAG:
        return tag_problem(form.text)
    if "\0" in form.text:
        return "must not contain a NUL character"
    return "" if form.kind is Kind.REGEX or form.text.strip() else "must not be empty"


def tag_problem(text: str) -> str:
    """Tell what is wrong with the schemas in a structural tag."""
    try:
        tag = strict_json.parse(text.encode(), subject="it", max_depth=2 * MAX_DEPTH)
    except PalaverError as error:
        return f"must be JSON text: {error.message}"
    if depth(tag) > 2 * MAX_DEPTH:
        return f"must be nested at most {2 * MAX_DEPTH} levels"
    for place, schema in _schemas(tag, "$"):
        if problem := _problem(schema, place):
            return problem
    return ""


def schema_problem(text: str) -> str:
    """Tell what is wrong with a schema; empty where nothing is."""
    try:
        schema = strict_json.parse(text.encode(), subject="it", max_depth=MAX_DEPTH)
    except PalaverError as error:
        return f"must be a JSON Schema as JSON text: {error.message}"
    return _problem(schema, "$")


def _problem(schema: object, place: str) -> str:
    if depth(schema) > MAX_DEPTH:
        return f"{place}: must be nested at most {MAX_DEPTH} levels"
    if isinstance(schema, bool):
        return "" if schema else f"{place}: false allows no answer at all"
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"{error.json_path.replace('$', place, 1)}: is no JSON Schema: {error.message}"
    if not isinstance(schema, dict):
        return f"{place}: must be an object"
    if problem := reference_problem(schema, place):
        return problem
    for where, what in _faults(schema, place, schema):
        return f"{where}: {what}"
    return ""


def _faults(schema: object, place: str, root: dict[str, Any]) -> Found:
    if schema is False:
        yield place, "false allows no answer at all"
    if not isinstance(schema, dict):
        return
    for keyword in schema:
        if not _is_known(keyword):
            yield f"{place}.{keyword}", "is not enforced here, so the answer might not fit; leave it out"
    present = [combiner for combiner in COMBINERS if combiner in schema]
    if present:
        beside = [word for word in schema if word != present[0] and not _says_nothing(word)]
        if beside == ["type"] and has_only_types(schema, present[0], root):
            beside = []
        if beside:
            yield f"{place}.{beside[0]}", f"is not enforced beside {present[0]}; put it into what that leads to"
        yield from _branch_faults(schema, place, root)
    elif not _VALUES.isdisjoint(schema) and ("const" in schema or "enum" in schema):
        yield from _value_faults(schema, place)
    else:
        yield from _typed_faults(schema, place)
    for where, child in _children(schema, place):
        yield from _faults(child, where, root)


def _branch_faults(schema: dict[str, Any], place: str, root: dict[str, Any]) -> Found:
    if len(schema.get("allOf", ())) > 1:
        yield f"{place}.allOf", "is not enforced with several schemas; write them as one"
    if "oneOf" in schema and not are_disjoint(schema["oneOf"], root):
        yield f"{place}.oneOf", "has branches that one value could fit together; write anyOf, or give each its own type"


def _value_faults(schema: dict[str, Any], place: str) -> Found:
    keyword = "const" if "const" in schema else "enum"
    values = [schema["const"]] if keyword == "const" else schema["enum"]
    if not values:
        yield f"{place}.enum", "must hold a value"
    others = {word: rule for word, rule in schema.items() if word != keyword and not _says_nothing(word)}
    if not others:
        return
    validator = Draft202012Validator(others)
    for index, value in enumerate(values):
        try:
            validator.validate(value)
        except ValidationError:
            yield f"{place}.{keyword}[{index}]", "does not fit what stands beside it"


def _typed_faults(schema: dict[str, Any], place: str) -> Found:
    said = schema.get("type", ())
    types = {said} if isinstance(said, str) else set(said)
    types = {"number" if kind == "integer" else kind for kind in types}
    for keyword in schema:
        kind = _TYPE_OF.get(keyword)
        if kind is not None and kind not in types:
            yield f"{place}.{keyword}", f'needs "type": "{kind}" beside it'
    if "string" in types:
        yield from _string_faults(schema, place)
    if "object" in types:
        yield from _object_faults(schema, place)
    for low, high in (("minLength", "maxLength"), ("minItems", "maxItems"), ("minProperties", "maxProperties")):
        if schema.get(low, 0) > schema.get(high, schema.get(low, 0)):
            yield f"{place}.{low}", f"is above {high}, so nothing would fit"


def _string_faults(schema: dict[str, Any], place: str) -> Found:
    if "format" in schema and schema["format"] not in FORMATS:
        yield f"{place}.format", f"must be one of {', '.join(sorted(FORMATS))}"
    shape = next((word for word in ("pattern", "format") if word in schema), None)
    bound = next((word for word in ("minLength", "maxLength") if word in schema), None)
    if shape and bound:
        yield f"{place}.{bound}", f"is not enforced beside {shape}; say it within a pattern"
    if "pattern" in schema and (problem := _pattern_problem(schema["pattern"])):
        yield f"{place}.pattern", problem
    if "pattern" in schema and "format" in schema:
        yield f"{place}.format", "is not enforced beside pattern"


def _object_faults(schema: dict[str, Any], place: str) -> Found:
    properties = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    for pattern in patterns:
        if problem := _pattern_problem(pattern):
            yield f"{place}.patternProperties.{pattern}", problem
    if len(patterns) > 1:
        yield f"{place}.patternProperties", "is not enforced with several patterns"
    if patterns and properties:
        yield f"{place}.patternProperties", "is not enforced beside properties"
    if "propertyNames" in schema and (properties or patterns):
        yield f"{place}.propertyNames", "is not enforced beside properties or patternProperties"
    for name in schema.get("required", ()):
        if name not in properties:
            yield f"{place}.required", f"names {name!r}, which is not among the properties"


def _pattern_problem(pattern: str) -> str:
    """Xgrammar passes over a pattern that it cannot read."""
    try:
        xgr.Grammar.from_regex(pattern)
        grammar = str(xgr.Grammar.from_json_schema({"type": "string", "pattern": pattern}))
    except RuntimeError as error:
        return f"cannot be compiled: {sentence(error)}"
    # A plain sequence is taken for the JSON itself rather than for the string that the JSON means.
    if "Regex(" not in grammar and _ESCAPED_IN_JSON.search(pattern):
        return "asks for a quotation mark, a backslash or a control character by itself, which would be no JSON"
    return ""


def _is_known(keyword: str) -> bool:
    return _says_nothing(keyword) or keyword in _TYPE_OF or keyword in _VALUES or keyword in COMBINERS


def _says_nothing(keyword: str) -> bool:
    return keyword in ANNOTATIONS or keyword in DEFINITIONS or keyword.startswith("x-")


def _children(schema: dict[str, Any], place: str) -> Iterator[tuple[str, object]]:
    for keyword in ("$defs", "definitions", "properties", "patternProperties"):
        for name, child in schema.get(keyword, {}).items():
            yield f"{place}.{keyword}.{name}", child
    for keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for index, child in enumerate(schema.get(keyword, ())):
            yield f"{place}.{keyword}[{index}]", child
    for keyword in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(keyword), dict):
            yield f"{place}.{keyword}", schema[keyword]


def _schemas(tag: object, place: str) -> Iterator[tuple[str, object]]:
    """Find the schemas of a structural tag, in its present dialect (``json_schema``) and its old one (``schema``)."""
    pending = [(tag, place)]
    while pending:
        item, where = pending.pop()
        if isinstance(item, dict):
            for name, child in item.items():
                is_schema = name == "json_schema" or (name == "schema" and "begin" in item)
                if is_schema:
                    yield f"{where}.{name}", child
                else:
                    pending.append((child, f"{where}.{name}"))
        elif isinstance(item, list):
            pending.extend((child, f"{where}[{index}]") for index, child in enumerate(item))
