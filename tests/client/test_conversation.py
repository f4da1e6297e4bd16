"""A conversation remembers whole turns and nothing else."""

from __future__ import annotations

import asyncio
import gc

import grpc
import pytest

from palaver.v1 import role_pb2
from palaver_client import AsyncConversation, errors

Code = grpc.StatusCode


def said(conversation) -> list[tuple[str, str]]:
    return [
        (role_pb2.Role.Name(message.role).removeprefix("ROLE_").lower(), "".join(part.text for part in message.content))
        for message in conversation.messages
    ]


async def test_each_turn_sends_what_was_said_before(caller, fake):
    conversation = caller.conversation(system="be kind", temperature=0.5, seed=1)
    assert (await caller.ask(conversation, "first")).text == "first"
    assert await caller.read(conversation.stream("second", seed=2, include_running_usage=True)) == ["second"]
    assert said(conversation) == [
        ("system", "be kind"),
        ("user", "first"),
        ("assistant", "first"),
        ("user", "second"),
        ("assistant", "second"),
    ]
    first, second = fake.calls
    assert len(first.request.messages) == 2
    assert list(second.request.chat.messages) == list(conversation.messages[:4])
    assert (second.request.chat.options.temperature, second.request.chat.options.seed) == (0.5, 2)
    assert second.request.include_running_usage
    assert repr(conversation).endswith("Conversation(5 messages)")


async def test_a_conversation_goes_on_from_saved_messages(caller):
    first = caller.conversation(system="s")
    await caller.ask(first, "one")
    second = caller.conversation(messages=first.messages)
    await caller.ask(second, "two")
    assert said(second)[:3] == said(first)
    assert len(second.messages) == 5


async def test_what_tools_answered_is_a_turn_too(caller):
    conversation = caller.conversation()
    await caller.ask(conversation, [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])
    assert [role for role, _ in said(conversation)] == ["user", "user", "assistant"]


async def test_a_turn_that_fails_leaves_no_trace(caller, fake, act, failure):
    conversation = caller.conversation()
    await caller.ask(conversation, "before")
    kept = conversation.messages
    refused = failure(Code.INVALID_ARGUMENT, reason="INVALID_FIELD")
    fake.will(refused, act(words=("half",), failure=failure(Code.INTERNAL, reason="GENERATION_FAILED")))
    with pytest.raises(errors.InvalidRequest):
        await caller.ask(conversation, "x")
    with pytest.raises(errors.InternalError):
        await caller.read(conversation.stream("x"))
    for wrong in ({"temperature": "hot"}, {"temperatur": 1}):
        with pytest.raises(TypeError):
            await caller.ask(conversation, "x", **wrong)
        with pytest.raises(TypeError):
            conversation.stream("x", **wrong)
    with pytest.raises(ValueError, match="role"):
        await caller.ask(conversation, {"role": "robot"})
    assert conversation.messages == kept
    await caller.ask(conversation, "after")
    assert [text for _, text in said(conversation)] == ["before", "before", "after", "after"]


async def test_a_turn_that_is_left_leaves_no_trace(caller, fake, act):
    conversation = caller.conversation()
    fake.will(act(words=("one", "two"), hangs=True))
    stream = conversation.stream("x")
    assert await caller.read(stream, 1) == ["one"]
    await caller.close(stream)
    conversation.stream("never read")
    gc.collect()
    assert conversation.messages == ()
    await caller.ask(conversation, "after")
    assert len(conversation.messages) == 2


async def test_a_cancelled_turn_leaves_no_trace(new_async, fake, act):
    conversation = AsyncConversation(new_async)
    fake.will(act(hangs=True))
    task = asyncio.create_task(conversation.ask("x"))
    await asyncio.to_thread(fake.arrived.get, timeout=10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert conversation.messages == ()
    await conversation.ask("after")


async def test_a_second_turn_while_one_is_under_way_is_refused(caller, fake, act):
    conversation = caller.conversation()
    fake.will(act(words=("one",), hangs=True))
    stream = conversation.stream("x")
    for ask in (lambda: caller.ask(conversation, "y"), lambda: asyncio.to_thread(conversation.stream, "y")):
        with pytest.raises(RuntimeError, match="one turn at a time"):
            await ask()
    await caller.read(stream, 1)
    with pytest.raises(RuntimeError, match="one turn at a time"):
        await caller.ask(conversation, "y")
    await caller.close(stream)
    await caller.ask(conversation, "y")
