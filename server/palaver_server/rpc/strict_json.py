"""JSON from outside, read strictly: what two parsers could understand differently is refused, with the place.

The standard library's parser does the reading. On top of it: a key that stands twice in one object (RFC 8259, section
4, leaves open which one counts), NaN and infinities (which are no JSON), text that is not UTF-8 or holds half a
surrogate pair, and nesting so deep that walking it could exhaust the stack. What is looked for in every body costs a
pass of C over its text; only a body that is refused is walked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import accumulate, islice
from typing import Any, NoReturn

from palaver_server.core.errors import FieldViolation, PalaverError, Reason

MAX_DEPTH = 100
"""Levels of objects and lists. The contract's deepest document, a schema of 64 levels within its request, fits."""
MAX_SHOWN_CHARACTERS = 64
"""Of a key in a path; a caller may have sent a megabyte."""
MAX_PATH_CHARACTERS = 256
MAX_WALKED = 100_000
"""Values looked through to name the place of a fault; beyond, the fault is told without it."""

Path = tuple[str | int, ...]

_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}
_NO_BRACKETS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^][{}"]++|"', re.DOTALL)
_WHOLE_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


def parse(data: bytes) -> Any:
    """Read one JSON document.

    Raises:
        PalaverError: ``MALFORMED_REQUEST``, naming the field where one is to blame.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise _malformed(f"The body is not valid UTF-8: byte {error.start} cannot stand where it does.") from None
    if not text.strip():
        raise _malformed("The body is empty; it must be a JSON document.")
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise _malformed(f"The body nests objects and lists more than {MAX_DEPTH} levels deep.")
    doubled: list[tuple[dict[str, Any], str]] = []

    def to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            doubled.append((found, _first_double(pairs)))
        return found

    try:
        document = json.loads(text, object_pairs_hook=to_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise _malformed(
            f"The body is not valid JSON: {error.msg.lower()} at line {error.lineno}, column {error.colno}."
        ) from None
    except ValueError:  # an integer of thousands of digits
        raise _malformed("The body has a number with too many digits.") from None
    if doubled:
        raise _doubled_key(document, doubled)
    if "\\ud" in text.lower() and _HALF_PAIR.search(_WHOLE_PAIR.sub("", text.replace("\\\\", ""))):
        raise _half_character(document)
    return document


def to_json(value: Any) -> str:
    """Text of a part of a document, its keys in their order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def field_path(parts: Path) -> str:
    """A place in a document as people write it: ``messages[0].content``."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            shown = part if len(part) <= MAX_SHOWN_CHARACTERS else f"{part[:MAX_SHOWN_CHARACTERS]}..."
            path += f".{shown}" if path else shown
    return path[:MAX_PATH_CHARACTERS].encode(errors="replace").decode()


def _depth(text: str) -> int:
    return max(accumulate(map(_STEPS.__getitem__, _NO_BRACKETS.sub("", text))), default=0)


def _first_double(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    return next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]


def _walk(document: Any) -> Iterator[tuple[Path, Any]]:
    """Values with their paths, the first ``MAX_WALKED``, without recursion."""
    waiting: list[Iterator[tuple[Path, Any]]] = [iter([((), document)])]
    walked = 0
    while waiting and walked < MAX_WALKED:
        found = next(waiting[-1], None)
        if found is None:
            waiting.pop()
            continue
        walked += 1
        yield found
        waiting.append(_children(*found))


def _children(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key), item
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield (*path, index), item


def _doubled_key(document: Any, doubled: list[tuple[dict[str, Any], str]]) -> PalaverError:
    keys = {id(found): key for found, key in doubled}
    for path, value in _walk(document):
        if isinstance(value, dict) and (key := keys.get(id(value))) is not None:
            return _at((*path, key), "stands twice in one object; write it once")
    return _malformed("The body has an object with the same key twice.")


def _half_character(document: Any) -> PalaverError:
    for path, value in _walk(document):
        keys = islice(value, MAX_WALKED) if isinstance(value, dict) else ()
        if not all(_is_whole(text) for text in (*keys, value) if isinstance(text, str)):
            return _at(path, "the text has half of a surrogate pair, which is no character")
    return _malformed("The body has half of a surrogate pair, which is no character.")


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise _malformed(f"The body is not valid JSON: {name} is no number there.")


def _at(path: Path, description: str) -> PalaverError:
    place = field_path(path)
    if not place:
        return _malformed(f"The body: {description}.")
    violations = [FieldViolation(place, description)]
    return PalaverError(Reason.MALFORMED_REQUEST, f"{place}: {description}", violations=violations)


def _malformed(message: str) -> PalaverError:
    return PalaverError(Reason.MALFORMED_REQUEST, message)
