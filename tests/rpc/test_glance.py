"""A request that is let pass at a glance breaks no rule of the contract's; and most do pass so."""

from __future__ import annotations

import math
from typing import Any

import pytest
from buf.validate import validate_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import event, given
from hypothesis import strategies as st

from palaver.v1 import chat_service_pb2
from palaver_server.core.errors import PalaverError
from palaver_server.rpc import validation
from palaver_server.rpc.bounds import count_elements
from palaver_server.rpc.glance import is_in_order
from palaver_server.rpc.support import refuse_unsupported
from palaver_server.rpc.sure_rules import EXPRESSIONS
from tests.contract.test_rules import WRONG, asked, full, violations

MOST = 256
LONGEST = 20_000
"""Texts whose bound is higher are not tried at it."""
TEXTS = ("", "a", "models/", "call-1", "ünï", "a b", "\U0001f600")
NUMBERS = (0, 1, 2, 3, 4, 5, 7, -1)
USUAL = {
    "a question": {"messages": [{"role": "ROLE_USER", "content": [{"text": "What is the capital of France?"}]}]},
    "with options": {
        "messages": [{"role": "ROLE_USER", "content": [{"text": "x"}]}],
        "options": {"temperature": 0, "max_output_tokens": 128, "seed": 1, "stop_sequences": ["\n"], "top_p": 1},
        "reasoning": {"include_reasoning": False},
        "labels": {"team": "red"},
        "model": "models/m",
    },
    "a conversation with tools": {
        "messages": [
            {"role": "ROLE_SYSTEM", "content": [{"text": "Be brief."}]},
            {"role": "ROLE_USER", "content": [{"text": "What is"}, {"text": " the weather?"}], "name": "ada"},
            {"role": "ROLE_ASSISTANT", "reasoning": "I ask.", "tool_calls": [{"id": "call-1", "name": "weather"}]},
            {"role": "ROLE_TOOL", "tool_call_id": "call-1", "content": [{"text": "sunny"}]},
        ],
        "tools": [{"name": "weather", "parameters_json_schema": "{}"}, {"name": "other.tool_2-x"}],
    },
}


def near(rules: validate_pb2.FieldRules) -> list[Any]:
    """Bounds that rules tell, and what is next to them."""
    found: list[Any] = []
    for part, value in rules.ListFields():
        for _, bound in value.ListFields() if isinstance(value, Message) and part.name in ("int32", "double") else ():
            found += [bound, bound - 1, bound + 1]
        for rule, bound in value.ListFields() if part.name == "string" else ():
            if bound < LONGEST:
                found += [letter * (bound + more) for letter in "aü" for more in (0, 1) if rule.name != "min_len"]
    return found


def scalars(field: FieldDescriptor, rules: validate_pb2.FieldRules) -> st.SearchStrategy[Any]:
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return st.sampled_from([*TEXTS, *near(rules)])
        case FieldDescriptor.TYPE_BOOL:
            return st.booleans()
        case FieldDescriptor.TYPE_DOUBLE:
            return st.sampled_from([*map(float, NUMBERS), math.nan, math.inf, *near(rules)])
        case _:
            return st.sampled_from([number for number in [*NUMBERS, *near(rules)] if abs(number) < 2**31])


@st.composite
def messages(draw: st.DrawFn, kind: Descriptor, message: Message) -> Message:
    """Fill in some of a message's fields."""
    some = st.lists(st.sampled_from(list(kind.fields)), max_size=4, unique_by=lambda field: field.number)
    for field in draw(some) if kind.fields else ():
        rules = field.GetOptions().Extensions[validate_pb2.field]
        held = field.message_type
        if held is not None and held.GetOptions().map_entry:
            key = draw(scalars(held.fields_by_name["key"], rules.map.keys))
            getattr(message, field.name)[key] = draw(scalars(held.fields_by_name["value"], rules.map.values))
        elif held is not None:
            for _ in range(draw(st.integers(1, 2)) if field.is_repeated else 1):
                part = getattr(message, field.name)
                part = part.add() if field.is_repeated else part
                part.SetInParent()
                draw(messages(held, part))
        elif field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(scalars(field, rules.repeated.items), max_size=3)))
        else:
            setattr(message, field.name, draw(scalars(field, rules)))
    return message


@st.composite
def requests(draw: st.DrawFn) -> chat_service_pb2.StreamChatRequest:
    """Usual requests, into which something else is merged."""
    request = chat_service_pb2.StreamChatRequest()
    json_format.ParseDict(USUAL[draw(st.sampled_from(sorted(USUAL)))], request.chat)
    other = chat_service_pb2.StreamChatRequest()
    request.MergeFrom(draw(messages(other.DESCRIPTOR, other)))
    message = request.chat.messages[draw(st.integers(0, len(request.chat.messages) - 1))]
    draw(messages(message.DESCRIPTOR, message))
    draw(messages(request.chat.options.DESCRIPTOR, request.chat.options))
    return request


def refusal(request: Message) -> str | None:
    """What the long way says of a request."""
    try:
        count_elements(request)
        refuse_unsupported(request)
    except PalaverError as error:
        return error.message
    found = violations(request)
    return str(found) if found else None


@given(requests())
def test_what_passes_at_a_glance_passes_the_long_way(request_):
    passes = is_in_order(request_, MOST)
    event(f"passes: {passes}")
    if passes:
        assert refusal(request_) is None


@pytest.mark.parametrize(
    ("path", "rule", "change"), WRONG, ids=[f"{path or 'request'}-{rule}" for path, rule, _ in WRONG]
)
def test_nothing_that_the_contract_refuses_passes_at_a_glance(path, rule, change):
    request = asked()
    assert is_in_order(request, MOST)
    if callable(change):
        change(request)
    else:
        json_format.ParseDict(change, request)
    assert violations(request) == [(path, rule)]
    assert not is_in_order(request, 10_000)
    assert not is_in_order(chat_service_pb2.StreamChatRequest(chat=request), 10_000)


@pytest.mark.parametrize("body", USUAL.values(), ids=USUAL)
async def test_usual_requests_pass_at_a_glance(body, monkeypatch):
    chat = json_format.ParseDict(body, chat_service_pb2.ChatRequest())
    monkeypatch.setattr(validation, "_validator", None)
    await validation.check(chat)
    await validation.check(chat_service_pb2.StreamChatRequest(chat=chat, include_running_usage=True))


def test_each_field_is_looked_at_or_goes_the_long_way():
    """Every field of the contract's, set to what is fine: left alone, out of place and unknown at every depth."""
    for field, value in full().ListFields():
        request = json_format.ParseDict(USUAL["a question"], chat_service_pb2.ChatRequest())
        if field.name != "messages":
            request.MergeFrom(chat_service_pb2.ChatRequest(**{field.name: value}))
        assert not is_in_order(request, MOST) or refusal(request) is None, field.name
        request.messages[0].content[0].MergeFromString(b"\xa0\x06\x01")  # a field of number 100
        assert not is_in_order(request, MOST), field.name


def test_more_elements_than_are_wanted_are_not_looked_through():
    one = json_format.ParseDict(USUAL["a question"], chat_service_pb2.ChatRequest())
    request = chat_service_pb2.ChatRequest(messages=[*one.messages] * 128)
    assert (count_elements(request), is_in_order(request, 256), is_in_order(request, 255)) == (256, True, False)


def test_only_expressions_of_the_contract_are_known():
    request = chat_service_pb2.StreamChatRequest.DESCRIPTOR
    found = set()

    def look(kind: Descriptor) -> None:
        found.update(rule.expression for rule in kind.GetOptions().Extensions[validate_pb2.message].cel)
        for field in kind.fields:
            found.update(rule.expression for rule in field.GetOptions().Extensions[validate_pb2.field].cel)
            if field.message_type is not None:
                look(field.message_type)

    look(request)
    assert EXPRESSIONS.keys() <= found
