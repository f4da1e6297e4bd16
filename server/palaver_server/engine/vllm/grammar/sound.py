"""Schemas written so that xgrammar enforces them rightly.

For ``minLength`` and ``maxLength`` xgrammar 0.2 allows raw control characters, which are no JSON (RFC 8259, section 7),
and takes two seconds for a bound of 200. The same bounds as a pattern are JSON, and take a thirtieth of a second.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from palaver_server.core import strict_json
from palaver_server.core.errors import PalaverError
from palaver_server.engine.vllm.grammar.form import Form, Kind
from palaver_server.engine.vllm.grammar.schema import MAX_DEPTH

REMEMBERED = 128
_CHARACTER = r'[^\x00-\x1f"\\]'
"""What stands in JSON as itself."""
_BOUNDS = ("minLength", "maxLength")
_DATA = frozenset({"const", "default", "enum", "example", "examples"})
"""Keywords that hold values rather than schemas."""


@lru_cache(REMEMBERED)
def sound_form(form: Form) -> Form:
    """Rewrite the schemas of a form. What is wrong with them stays, to be told in the caller's words."""
    if form.kind not in (Kind.JSON, Kind.TAG):
        return form
    try:
        written = strict_json.parse(form.text.encode(), max_depth=2 * MAX_DEPTH)
    except PalaverError:
        return form
    has_changed, pending = False, [written]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            has_changed |= _bounds_as_pattern(item)
            pending.extend(child for name, child in item.items() if name not in _DATA)
        elif isinstance(item, list):
            pending.extend(item)
    return Form(form.kind, json.dumps(written)) if has_changed else form


def _bounds_as_pattern(schema: dict[str, Any]) -> bool:
    said = {name: schema[name] for name in _BOUNDS if name in schema}
    if not said or "pattern" in schema or "format" in schema or not _has_strings(schema.get("type")):
        return False
    if any(not isinstance(bound, int) or isinstance(bound, bool) or bound < 0 for bound in said.values()):
        return False
    low, high = said.get("minLength", 0), said.get("maxLength")
    if high is not None and low > high:
        return False
    for name in said:
        del schema[name]
    schema["pattern"] = f"{_CHARACTER}{{{low},{'' if high is None else high}}}"
    return True


def _has_strings(types: object) -> bool:
    return types == "string" or (isinstance(types, list) and "string" in types)
