"""JSON Schemas that callers send, and whether JSON fits them. Whatever a schema says, nothing is fetched for it."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import Any

import regex
from jsonschema import Draft202012Validator, SchemaError, ValidationError, validators
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from palaver_server.core import strict_json
from palaver_server.core.errors import PalaverError
from palaver_server.engine.nesting import depth

MAX_DEPTH = 64
"""Levels of a schema; deeper ones exhaust the stack of who walks them."""
PATTERN_SECONDS = 0.02
"""For a ``pattern`` to match an argument: a caller's expression must not hold everybody up."""
COMPARISON_SECONDS = 0.1
"""Processor time for a value to be compared with a schema. The event loop waits for it."""
MAX_PROBLEM_CHARACTERS = 300
CACHED_SCHEMAS = 256
NOTHING_ELSE: Registry[Any] = Registry()
"""What a ``$ref`` may lead to beside the schema itself. Without it the library opens any address that a caller names:
``http:`` behind our firewall, ``file:`` on our disk."""


@lru_cache(CACHED_SCHEMAS)
def schema_problem(text: str, *, of_object: bool = True) -> str:
    """Tell what is wrong with a JSON Schema, for people; empty where nothing is, and for an empty text.

    Args:
        text: the schema.
        of_object: whether it must be the schema of an object.
    """
    if not text:
        return ""
    try:
        schema = strict_json.parse(text.encode(), subject="it", max_depth=MAX_DEPTH)
    except PalaverError as error:
        return f"must be a JSON Schema as JSON text; {error.message}"
    if not isinstance(schema, dict) or (of_object and schema.get("type", "object") != "object"):
        return 'must be the schema of an object, of "type": "object"' if of_object else "must be a JSON object"
    if depth(schema) > MAX_DEPTH:
        return f"must be nested at most {MAX_DEPTH} levels"
    if "patternProperties" in _keys(schema):
        return "must not use patternProperties, which is not checked here"
    return _meaning_problem(schema)


def _meaning_problem(schema: dict[str, Any]) -> str:
    try:
        Draft202012Validator.check_schema(schema)
        with _limited():
            next(_Validator(schema, registry=NOTHING_ELSE).iter_errors({}), None)
    except SchemaError as error:
        return f"is no JSON Schema: {error.message} at {error.json_path}"[:MAX_PROBLEM_CHARACTERS]
    except (RecursionError, _TakesTooLongError):  # which of the two comes first depends on the machine
        return "refers to itself without end, or takes too long to be checked"
    except Exception:  # noqa: BLE001  # the library has several kinds of errors for references that lead nowhere
        return "refers to what is not in it"
    return ""


@lru_cache(CACHED_SCHEMAS)
def _validator(text: str) -> Validator:
    return _Validator(json.loads(text), registry=NOTHING_ELSE)


def misfit(value: object, schema_text: str) -> str:
    """Tell what about a value does not fit a schema that has no problem; empty where all does."""
    try:
        with _limited():
            error = next(_validator(schema_text).iter_errors(value), None)
    except RecursionError:
        return "nested too deep"
    except _TakesTooLongError:
        return "takes too long to be compared with the schema"
    except Unresolvable:
        return "the schema refers to what is not in it"
    if error is None:
        return ""
    return f"{error.json_path}: {error.message}"[:MAX_PROBLEM_CHARACTERS]


def _pattern(_validator: object, pattern: str, instance: object, _schema: object) -> Iterator[ValidationError]:
    if not isinstance(instance, str):
        return
    try:
        if regex.search(pattern, instance, timeout=PATTERN_SECONDS) is None:
            yield ValidationError(f"{instance!r} does not match {pattern!r}")
    except TimeoutError:
        yield ValidationError(f"{pattern!r} takes too long to match")
    except regex.error:
        yield ValidationError(f"{pattern!r} cannot be matched")


class _TakesTooLongError(Exception):
    """A schema multiplies its work: a few references to references are enough for hours."""


_ends = threading.local()
"""When a comparison must be over, in the thread's own processor time."""


@contextmanager
def _limited() -> Iterator[None]:
    _ends.at = time.thread_time() + COMPARISON_SECONDS
    try:
        yield
    finally:
        _ends.at = math.inf


def _in_time(check: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(check)
    def checked(*arguments: Any) -> Any:
        if time.thread_time() > _ends.at:
            raise _TakesTooLongError
        return check(*arguments)

    return checked


_Validator = validators.extend(
    Draft202012Validator,
    {name: _in_time(check) for name, check in ({**Draft202012Validator.VALIDATORS, "pattern": _pattern}).items()},
)


def _keys(value: object) -> set[str]:
    found: set[str] = set()
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            found |= item.keys()
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
    return found
