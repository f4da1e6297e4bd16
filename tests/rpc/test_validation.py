"""What a request may ask of the event loop on which everybody's tokens pass."""

from __future__ import annotations

import asyncio
import json

import pytest
from google.protobuf import json_format

from palaver.v1 import chat_service_pb2
from palaver_server.core.errors import PalaverError, Reason
from palaver_server.rpc import validation
from palaver_server.rpc.openai.extent import refuse_too_much
from palaver_server.rpc.validation import ELEMENTS_AT_ONCE, check

TURN = {"role": "ROLE_USER", "content": [{"text": "a"}]}


def conversation(length: int) -> chat_service_pb2.ChatRequest:
    return json_format.ParseDict({"messages": [TURN] * length}, chat_service_pb2.ChatRequest())


async def test_others_have_their_turns_while_a_long_conversation_is_checked():
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(other())
    await check(conversation(4096))
    others.cancel()
    assert turns >= 2 * 4096 // ELEMENTS_AT_ONCE


async def test_long_conversations_are_checked_one_after_the_other(monkeypatch):
    checked = []
    refuse = validation.refuse_unsupported
    monkeypatch.setattr(
        validation, "refuse_unsupported", lambda message, *path: checked.append(message) or refuse(message, *path)
    )
    await asyncio.gather(check(conversation(300)), check(conversation(301)))
    begun = [place for place, message in enumerate(checked) if isinstance(message, chat_service_pb2.ChatRequest)]
    assert begun == [0, 301], "the second begins when the 300 messages of the first are done"


@pytest.mark.parametrize("request_", [conversation(200_000), conversation(4097)], ids=["far", "by one"])
async def test_too_long_a_list_is_refused_before_any_rule_runs(request_, monkeypatch):
    monkeypatch.setattr(validation, "_validator", None)
    with pytest.raises(PalaverError, match=r"messages: must contain no more than 4096 item\(s\)"):
        await check(request_)


async def test_unknown_fields_are_named_without_end_neither_in_number_nor_in_time():
    request = conversation(1)
    request.MergeFromString(b"\xa0\x06\x01" * 100)
    with pytest.raises(PalaverError) as few:
        await check(request)
    assert [violation.field for violation in few.value.violations] == ["100"] * 16
    request.messages[0].MergeFromString(b"\xa8\x06\x01" * 100_000)
    with pytest.raises(PalaverError) as many:
        await check(request)
    assert [violation.field for violation in many.value.violations] == ["messages[0].101", *["100"] * 15]
    assert many.value.reason is Reason.FIELD_NOT_SUPPORTED


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 1024}] * 17},
        {"messages": [{"role": "assistant", "tool_calls": [{}] * 128}] * 128},
        {"messages": [], "tools": [{}] * 20_000},
    ],
    ids=["content", "calls", "tools"],
)
def test_a_body_with_too_much_is_refused_before_its_types_are_checked(body):
    with pytest.raises(PalaverError, match="no more than 16384") as refused:
        refuse_too_much(body)
    assert [violation.field for violation in refused.value.violations] == ["messages"]


@pytest.mark.parametrize("body", ["[]", "{}", '{"messages": 1}', '{"messages": [1, {"content": "x"}]}'])
def test_a_body_of_other_types_is_left_to_whoever_knows_them(body):
    refuse_too_much(json.loads(body))
