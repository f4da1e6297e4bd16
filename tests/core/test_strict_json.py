from __future__ import annotations

import json

import pytest

from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.strict_json import MAX_DEPTH, parse


def refusal(data: bytes) -> PalaverError:
    with pytest.raises(PalaverError) as caught:
        parse(data)
    assert caught.value.reason is Reason.MALFORMED_REQUEST
    return caught.value


def test_a_document_is_read_as_it_stands():
    document = {"a": [1, 2.5, None, True, "\u00e9\U0001f600\\ud800"], "b": {"c": {}}}
    assert parse(json.dumps(document).encode()) == document
    assert parse(json.dumps(document, ensure_ascii=False).encode()) == document


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b'{"a": 1, "a": 1}', "a"),
        (b'{"a": {"b": [0, {"c": 1, "d": 2, "c": 3}]}}', "a.b[1].c"),
        (b'{"a": {"x": 1, "x": 2}, "a": 3}', "a"),
    ],
)
def test_a_key_that_stands_twice_is_named_by_its_path(data, place):
    assert [violation.field for violation in refusal(data).violations] == [place]


@pytest.mark.parametrize(
    ("data", "place"),
    [(b'{"a": ["x", "\\ud800"]}', "a[1]"), (b'{"a": "\\uDC00\\ud83d"}', "a"), (b'{"a": [{"\\udfff": 1}]}', "a[0]")],
)
def test_half_a_surrogate_pair_is_named_by_its_path(data, place):
    assert [violation.field for violation in refusal(data).violations] == [place]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xff", "UTF-8: byte 0"),
        (b'{"a": "\xc3"}', "UTF-8: byte 7"),
        (b'{"a": ', "line 1, column 7"),
        (b'{"a": 1}{', "extra data at line 1, column 9"),
        (b'{"a": NaN}', "NaN"),
        (b"-Infinity", "-Infinity"),
        (b"[1" + b"0" * 5000 + b"]", "digits"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "levels"),
        (b"[" * 200_000, "levels"),
        (b'{"a":' * 200_000, "levels"),
    ],
)
def test_what_is_no_json_is_refused_in_words(data, words):
    assert words in refusal(data).message


@pytest.mark.parametrize(("data", "fields"), [(b'{"a": [1.5, 1e999]}', ["a[1]"]), (b"-1e400", [])])
def test_a_number_beyond_every_double_is_refused_with_its_place(data, fields):
    with pytest.raises(PalaverError, match="the number is too large") as caught:
        parse(data)
    assert caught.value.reason is Reason.INVALID_FIELD
    assert [violation.field for violation in caught.value.violations] == fields


def test_depth_is_counted_without_what_stands_in_strings():
    text = {"a": "[{" * 1000 + '"' + "\\"}
    assert parse(json.dumps(text).encode()) == text
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert parse(deepest)


def test_a_long_key_is_cut_in_the_path():
    key = "k" * 100_000
    (violation,) = refusal(f'{{"{key}": 1, "{key}": 2}}'.encode()).violations
    assert len(violation.field) < 100
