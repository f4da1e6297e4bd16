"""JSON from outside, read strictly: what two parsers could understand differently is refused, with the place.

The standard library's parser does the reading. On top of it: a key that stands twice in one object (RFC 8259, section
4, leaves open which one counts), NaN and infinities (which are no JSON), numbers beyond every double (``1e999``, of
which a parser makes an infinity), text that is not UTF-8 or holds half a
surrogate pair, and nesting so deep that walking it could exhaust the stack. What is looked for in every body costs a
pass of C over its text; only a body that is refused is walked.
"""

from __future__ import annotations

import json
import math
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


def parse(data: bytes, *, subject: str = "The body", max_depth: int = MAX_DEPTH) -> Any:
    """Read one JSON document.

    Args:
        data: UTF-8.
        subject: what the sentences of errors begin with.
        max_depth: levels of objects and lists.

    Raises:
        PalaverError: ``MALFORMED_REQUEST``, or ``INVALID_FIELD`` for a number that is too large; it names the field
            where one is to blame.
    """
    text = _text(data, subject, max_depth)
    reading = _Reading()
    document = reading.read(text, subject)
    if reading.doubled:
        raise _doubled_key(document, reading.doubled, subject)
    if reading.has_too_large:
        raise _too_large_number(document, subject)
    if "\\ud" in text.lower() and _HALF_PAIR.search(_WHOLE_PAIR.sub("", text.replace("\\\\", ""))):
        raise _half_character(document, subject)
    return document


def _text(data: bytes, subject: str, max_depth: int) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise _malformed(f"{subject} is not valid UTF-8: byte {error.start} cannot stand where it does.") from None
    if not text.strip():
        raise _malformed(f"{subject} is empty; it must be a JSON document.")
    if text.count("[") + text.count("{") > max_depth and _depth(text) > max_depth:
        raise _malformed(f"{subject} nests objects and lists more than {max_depth} levels deep.")
    return text


class _Reading:
    """The standard library's parser, and what it would pass over of one document."""

    def __init__(self) -> None:
        self.doubled: list[tuple[dict[str, Any], str]] = []
        """Objects in which a key stands twice, with the key."""
        self.has_too_large = False

    def read(self, text: str, subject: str) -> Any:
        try:
            return json.loads(
                text, object_pairs_hook=self._object, parse_constant=_refuse_constant, parse_float=self._float
            )
        except json.JSONDecodeError as error:
            raise _malformed(
                f"{subject} is not valid JSON: {error.msg.lower()} at line {error.lineno}, column {error.colno}."
            ) from None
        except _NoNumberError as error:
            raise _malformed(f"{subject} is not valid JSON: {error} is no number there.") from None
        except ValueError:  # an integer of thousands of digits
            raise _malformed(f"{subject} has a number with too many digits.") from None

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            self.doubled.append((found, _first_double(pairs)))
        return found

    def _float(self, text: str) -> float:
        number = float(text)
        if math.isinf(number):
            self.has_too_large = True
        return number


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


def _doubled_key(document: Any, doubled: list[tuple[dict[str, Any], str]], subject: str) -> PalaverError:
    keys = {id(found): key for found, key in doubled}
    for path, value in _walk(document):
        if isinstance(value, dict) and (key := keys.get(id(value))) is not None:
            return _at((*path, key), "stands twice in one object; write it once", subject)
    return _malformed(f"{subject} has an object with the same key twice.")


def _too_large_number(document: Any, subject: str) -> PalaverError:
    for path, value in _walk(document):
        if isinstance(value, float) and math.isinf(value):
            return _at(path, "the number is too large", subject, Reason.INVALID_FIELD)
    return PalaverError(Reason.INVALID_FIELD, f"{subject} has a number that is too large.")


def _half_character(document: Any, subject: str) -> PalaverError:
    for path, value in _walk(document):
        keys = islice(value, MAX_WALKED) if isinstance(value, dict) else ()
        if not all(_is_whole(text) for text in (*keys, value) if isinstance(text, str)):
            return _at(path, "the text has half of a surrogate pair, which is no character", subject)
    return _malformed(f"{subject} has half of a surrogate pair, which is no character.")


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _NoNumberError(ValueError):
    """What stands for a number is none, by its name."""


def _refuse_constant(name: str) -> NoReturn:
    raise _NoNumberError(name)


def _at(path: Path, description: str, subject: str, reason: Reason = Reason.MALFORMED_REQUEST) -> PalaverError:
    place = field_path(path)
    if not place:
        return PalaverError(reason, f"{subject}: {description}.")
    return PalaverError(reason, f"{place}: {description}", violations=[FieldViolation(place, description)])


def _malformed(message: str) -> PalaverError:
    return PalaverError(Reason.MALFORMED_REQUEST, message)
