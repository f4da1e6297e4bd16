"""The OpenAPI document as one page of HTML: no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from protos.openapi.schemas import Schema

_markdown = MarkdownIt("commonmark", {"html": False})
_BOUNDS = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "to {}",
    "exclusiveMaximum": "below {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "maxProperties": "at most {} entries",
}
_WIDEST = {"minimum": -(2**31), "maximum": 2**31 - 1}
"""What every int32 has; it needs no words."""


def page(document: dict[str, Any]) -> str:
    """Fill the template."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(markdown=_rendered, kind=_kind, example=_example)
    operations = [
        {"verb": verb, "path": path, **operation}
        for path, operations in document["paths"].items()
        for verb, operation in operations.items()
    ]
    return environment.get_template("page.html.j2").render(
        document=document, operations=operations, components=document["components"]
    )


def _rendered(text: str) -> Markup:
    return Markup(_markdown.render(text))  # noqa: S704  # HTML in the text is escaped by the parser


def _kind(schema: Schema) -> Markup:
    """A schema's type in words, with its bounds, and links to what it refers to."""
    words = [_type(schema)]
    for keyword, text in _BOUNDS.items():
        if keyword in schema and schema[keyword] != _WIDEST.get(keyword):
            words.append(escape(text.format(schema[keyword])))
    if "pattern" in schema:
        words.append(Markup("like <code>{}</code>").format(schema["pattern"]))
    return Markup(", ").join(words)


def _type(schema: Schema) -> Markup:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#{0}">{0}</a>').format(name)
    if "const" in schema:
        return Markup("<code>{}</code>").format(json.dumps(schema["const"]))
    alternatives = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if alternatives:
        return Markup(" or ").join(_type(kind) for kind in alternatives)
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        kind = next(name for name in kind if name != "null")
    if kind == "array":
        return Markup("list of {}").format(_kind(schema["items"]))
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return Markup("map to {}").format(_kind(schema["additionalProperties"]))
    return escape("date and time" if schema.get("format") == "date-time" else kind)


def _example(content: dict[str, Any]) -> str:
    example = content["example"]
    return example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
