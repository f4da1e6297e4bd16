"""Calls of tools, thoughts and answers of a form, typed, from a server that says what it is told to."""

from __future__ import annotations

import asyncio

import pydantic
import pytest

from palaver_client import TextPiece, ThoughtPiece, ToolCall, ToolCallPiece, ToolCallState
from palaver_client.options import ToolDict

TOOL: ToolDict = {
    "name": "add",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
}


class Person(pydantic.BaseModel):
    name: str
    age: int


async def pieces(caller, stream):
    if caller.kind == "sync":
        return await asyncio.to_thread(lambda: list(stream.pieces()))
    return [piece async for piece in stream.pieces()]


async def test_a_stream_comes_sorted(serve, new_caller):
    caller = new_caller((await serve()).address)
    stream = caller.client.stream('/think hm\n/say I add.\n/call add {"a": 1}', tools=[TOOL])
    found = await pieces(caller, stream)
    calls = [piece for piece in found if isinstance(piece, ToolCallPiece)]
    assert "".join(piece.text for piece in found if isinstance(piece, ThoughtPiece)) == "hm"
    assert "".join(piece.text for piece in found if isinstance(piece, TextPiece)) == "I add."
    assert (calls[0].name, calls[-1].state) == ("add", ToolCallState.COMPLETE)
    assert [piece.state for piece in calls[:-1]] == [None] * (len(calls) - 1)
    (call,) = stream.answer.tool_calls
    assert (call.id, call.arguments_json) == (calls[0].id, "".join(piece.arguments_json for piece in calls))
    assert (call.arguments, call.is_complete) == ({"a": 1}, True)


@pytest.mark.parametrize(
    ("script", "state"),
    [
        ('/call add {"a": "x"}', ToolCallState.INVALID_ARGUMENTS),
        ("/call add [1", ToolCallState.MALFORMED),
        ('/call add {"a": 1}\n/cut', ToolCallState.CUT_OFF),
        ("/call subtract {}", ToolCallState.UNKNOWN_TOOL),
    ],
)
async def test_a_call_that_cannot_be_run_says_so(serve, new_caller, script, state):
    caller = new_caller((await serve()).address)
    (call,) = (await caller.chat(script, tools=[TOOL])).tool_calls
    assert (call.state, call.is_complete) == (state, False)
    assert call.problem


def test_arguments_that_are_no_object_are_a_value_error():
    for text in ("[1", "[1]"):
        call = ToolCall("1", "f", text, ToolCallState.MALFORMED, "The arguments are no JSON.")
        with pytest.raises(ValueError, match="no JSON"):
            call.arguments  # noqa: B018  # raises


async def test_results_and_calls_go_back_typed(serve, new_caller):
    caller = new_caller((await serve()).address)
    answer = await caller.chat('/call add {"a": 1}', tools=[TOOL])
    (call,) = answer.tool_calls
    turns = [{"role": "user", "content": "add"}, {"role": "assistant", "tool_calls": answer.tool_calls}]
    assert (await caller.chat([*turns, call.result("two")], tools=[TOOL])).text == "two"


async def test_an_answer_of_a_class_is_read_as_one(serve, new_caller):
    caller = new_caller((await serve()).address)
    answer = await caller.chat('{"name": "Ada", "age": 36}', response_format=Person)
    assert answer.parsed(Person) == Person(name="Ada", age=36)
    assert answer.json() == {"name": "Ada", "age": 36}
    plain = await caller.chat("no JSON")
    with pytest.raises(ValueError, match="ended by 'stop'"):
        plain.json()
