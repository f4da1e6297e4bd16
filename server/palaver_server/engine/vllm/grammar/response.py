"""The form that a request asks for, in xgrammar's words and in those of its structural tags."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from vllm.v1.structured_output.utils import choice_as_grammar, grammar_is_likely_lark

from palaver_server.core.response_format import (
    ChoiceFormat,
    GrammarFormat,
    JsonObjectFormat,
    JsonSchemaFormat,
    RegexFormat,
    ResponseFormat,
    StructuralTagFormat,
)
from palaver_server.engine.vllm.grammar.form import ANY_JSON_OBJECT, MAX_WHITE_SPACE, Form, Kind


class Asked(NamedTuple):
    """A form, and who asks for it."""

    form: Form
    field: str
    """The request's field, without what stands before it."""


def asked_form(asked: ResponseFormat) -> Asked:
    """The form of ``response_format``."""
    match asked:
        case JsonObjectFormat():
            return Asked(ANY_JSON_OBJECT, "response_format.json_object")
        case JsonSchemaFormat():
            return Asked(Form(Kind.JSON, asked.json_schema), "response_format.json_schema.json_schema")
        case RegexFormat():
            return Asked(Form(Kind.REGEX, asked.pattern), "response_format.regex")
        case ChoiceFormat():
            grammar = choice_as_grammar(list(asked.values))
            return Asked(Form(Kind.EBNF, grammar), "response_format.choice.values")
        case GrammarFormat():
            kind = Kind.LARK if grammar_is_likely_lark(asked.grammar) else Kind.EBNF
            return Asked(Form(kind, asked.grammar), "response_format.grammar")
        case StructuralTagFormat():
            return Asked(Form(Kind.TAG, asked.structural_tag_json), "response_format.structural_tag_json")


def tag_format(form: Form) -> dict[str, Any] | None:
    """A form as a part of a structural tag, which is well by itself; None where it cannot be one."""
    match form.kind:
        case Kind.JSON:
            schema = json.loads(form.text)
            return {"type": "json_schema", "json_schema": schema, "max_whitespace_cnt": MAX_WHITE_SPACE}
        case Kind.REGEX:
            return {"type": "regex", "pattern": form.text}
        case Kind.EBNF:
            return {"type": "grammar", "grammar": form.text}
        case Kind.TAG:
            tag: dict[str, Any] = json.loads(form.text)
            return tag.get("format")
        case Kind.LARK:
            return None


def tag_form(*alternatives: dict[str, Any]) -> Form:
    """A structural tag that allows each of these formats."""
    only = alternatives[0] if len(alternatives) == 1 else {"type": "or", "elements": list(alternatives)}
    return Form(Kind.TAG, json.dumps({"type": "structural_tag", "format": only}))


def bounded(tag: dict[str, Any]) -> dict[str, Any]:
    """The format of vLLM's structural tag with a limit on the white space in its JSON, which vLLM's own lack."""
    pending: list[Any] = [tag]
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending.extend(part)
        elif isinstance(part, dict) and part.get("type") == "json_schema":
            part["max_whitespace_cnt"] = part.get("max_whitespace_cnt") or MAX_WHITE_SPACE
        elif isinstance(part, dict):
            pending.extend(part.values())
    return tag
