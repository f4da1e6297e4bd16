"""Requests that differ in the texts of their messages alone are checked once; whatever else differs is checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from buf.validate import validate_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from hypothesis import given
from hypothesis import strategies as st

from palaver.v1.chat_service_pb2 import ChatRequest, CountTokensRequest, StreamChatRequest
from palaver.v1.content_part_pb2 import ContentPart
from palaver_server.core.errors import PalaverError
from palaver_server.rpc import validation
from palaver_server.rpc.shapes import MAX_BYTES, Shapes, shape_of
from tests.contract.test_rules import WRONG, asked, full, turn, violations


@pytest.fixture(autouse=True)
def passed(monkeypatch: pytest.MonkeyPatch) -> Shapes:
    """No request has passed yet."""
    monkeypatch.setattr(validation, "_passed", shapes := Shapes())
    return shapes


def said(request: ChatRequest, text: str) -> ChatRequest:
    """The same with another text in each part that has one."""
    other = ChatRequest()
    other.CopyFrom(request)
    for message in other.messages:
        for part in message.content:
            if part.HasField("text"):
                part.text = text
    return other


def expressions(kind: Descriptor) -> list[str]:
    """Of all rules of a type of message and of those in it."""
    found = [rule.expression for rule in kind.GetOptions().Extensions[validate_pb2.message].cel]
    for field in kind.fields:
        found += [rule.expression for rule in field.GetOptions().Extensions[validate_pb2.field].cel]
        found += expressions(field.message_type) if field.message_type is not None else []
    return found


def test_rules_look_at_a_text_for_its_length_alone_and_that_fits():
    (text,) = ContentPart.DESCRIPTOR.fields
    rules = text.GetOptions().Extensions[validate_pb2.field]
    ((kind, said_of_text),) = rules.ListFields()
    assert (kind.name, [field.name for field, _ in said_of_text.ListFields()]) == ("string", ["max_bytes"])
    assert rules.string.max_bytes > MAX_BYTES
    assert (found := expressions(StreamChatRequest.DESCRIPTOR))
    assert not [expression for expression in found if "text" in expression]


@given(st.text(max_size=50), st.sampled_from([asked(), full(), asked(turn(2, ""), turn(3, None), turn(2))]))
def test_only_texts_make_no_difference(text, request_):
    other = said(request_, text)
    assert shape_of(other) == shape_of(request_) is not None
    assert violations(other) == violations(request_)


async def test_rules_run_once_for_all_requests_of_a_shape(monkeypatch):
    await validation.check(StreamChatRequest(chat=asked()))
    monkeypatch.setattr(validation, "_validator", None)
    await validation.check(StreamChatRequest(chat=asked(turn(2, "Something else."))))
    for other in (asked(), CountTokensRequest(chat=asked()), StreamChatRequest(chat=asked(turn(2), turn(2)))):
        with pytest.raises(AttributeError, match="collect_violations"):  # it would be asked
            await validation.check(other)


@pytest.mark.parametrize(
    ("path", "rule", "change"), WRONG, ids=[f"{path or 'request'}-{rule}" for path, rule, _ in WRONG]
)
async def test_what_is_wrong_is_refused_whatever_has_passed(path: str, rule: str, change: Any, passed: Shapes):
    del path, rule
    good, bad = asked(), asked()
    if callable(change):
        change(bad)
    else:
        json_format.ParseDict(change, bad)
    for request in (good, full(), said(bad, "x") if bad.ByteSize() < MAX_BYTES else good):
        if not violations(request):
            await validation.check(request)
            assert passed.have(shape_of(request))
    for _ in range(2):
        with pytest.raises(PalaverError):
            await validation.check(bad)
    assert not passed.have(shape_of(bad))


def test_every_field_is_a_part_of_the_shape():
    parts: list[Callable[[ChatRequest], Any]] = [
        lambda request: request,
        lambda request: request.options,
        lambda request: request.messages[2],
        lambda request: request.messages[2].tool_calls[0],
        lambda request: request.tools[0],
    ]
    shapes = [shape_of(full())]
    for part in parts:
        for field, _ in part(full()).ListFields():
            request = full()
            part(request).ClearField(field.name)
            shapes.append(shape_of(request))
    request = full()
    request.messages[0].content[0].ClearField("text")
    shapes.append(shape_of(request))
    assert len(shapes) > 50
    assert len(set(shapes)) == len(shapes)


async def test_an_unknown_field_is_found_in_a_request_whose_like_has_passed():
    await validation.check(asked())
    odd = asked()
    odd.messages[0].content[0].MergeFromString(b"\xa0\x06\x01")
    with pytest.raises(PalaverError, match="100: this server does not support"):
        await validation.check(odd)


def test_long_requests_have_no_shape_and_of_many_the_oldest_is_forgotten():
    assert shape_of(asked(turn(2, "x" * MAX_BYTES))) is None
    shapes = Shapes(2)
    shapes.add(None)
    for name in (b"a", b"b", b"c"):
        shapes.add(name)
    assert [shapes.have(name) for name in (None, b"a", b"b", b"c")] == [False, False, True, True]
