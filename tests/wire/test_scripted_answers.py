"""Tool calls, thoughts and forms without a model, over gRPC and in OpenAI's words, as a client's own tests see them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format

from palaver.v1 import chat_service_pb2, choice_pb2, model_service_pb2, tool_call_pb2
from tests.wire.openai_calls import answer, events, refusal

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "get_weather", "description": "Tells the weather.", "parameters_json_schema": json.dumps(SCHEMA)}
FUNCTION = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
SCRIPT = '/think Two cities.\n/say I look.\n/call get_weather {"city": "Oslo"}\n/call get_weather {"city": 7}'


def chat(text: str = SCRIPT, **fields: Any) -> chat_service_pb2.ChatRequest:
    asked = {"messages": [{"role": "ROLE_USER", "content": [{"text": text}]}], **fields}
    return json_format.ParseDict(asked, chat_service_pb2.ChatRequest())


def asking(text: str = SCRIPT, **fields: Any) -> dict[str, Any]:
    return {"model": "scripted", "messages": [{"role": "user", "content": text}], **fields}


@pytest.fixture
async def server(serve):
    return await serve()


async def test_a_stream_and_a_whole_answer_have_the_same_thoughts_text_and_calls(server):
    request = chat(tools=[TOOL])
    whole = (await server.chat.Chat(request)).choices[0]
    assert whole.message.reasoning == "Two cities."
    assert whole.finish_reason == choice_pb2.FINISH_REASON_TOOL_CALLS
    deltas = [
        event.delta
        async for event in server.chat.StreamChat(chat_service_pb2.StreamChatRequest(chat=request))
        if event.HasField("delta")
    ]
    assert "".join(delta.reasoning for delta in deltas) == whole.message.reasoning
    assert "".join(delta.text for delta in deltas) == whole.message.content[0].text == "I look."
    pieces = [piece for delta in deltas for piece in delta.tool_calls]
    for index, call in enumerate(whole.message.tool_calls):
        mine = [piece for piece in pieces if piece.index == index]
        assert len(mine) > 3, "the arguments come in pieces"
        assert "".join(piece.arguments_json for piece in mine) == call.arguments_json
        assert (mine[0].name, mine[-1].state) == (call.name, call.state)
    states = [call.state for call in whole.message.tool_calls]
    assert states == [tool_call_pb2.TOOL_CALL_STATE_COMPLETE, tool_call_pb2.TOOL_CALL_STATE_INVALID_ARGUMENTS]


async def test_the_model_tells_that_it_can(server):
    listed = await server.models.GetModel(model_service_pb2.GetModelRequest(name="models/scripted"))
    assert (listed.capabilities.tools, listed.capabilities.reasoning) == (True, True)


async def test_openais_words_for_it(server):
    document = await answer(server.channel, asking(tools=[FUNCTION]))
    (choice,) = document["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["reasoning"] == "Two cities."
    first, second = choice["message"]["tool_calls"]
    assert first["function"] == {"name": "get_weather", "arguments": '{"city": "Oslo"}'}
    assert second["state"] == "invalid_arguments"

    chunks = [chunk for chunk in await events(server.channel, asking(tools=[FUNCTION])) if chunk != "[DONE]"]
    calls: dict[int, str] = {}
    for chunk in chunks:
        for piece in chunk["choices"][0]["delta"].get("tool_calls", []):
            calls[piece["index"]] = calls.get(piece["index"], "") + piece["function"]["arguments"]
    assert calls == {0: '{"city": "Oslo"}', 1: '{"city": 7}'}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_a_loop_with_a_tool_ends(server):
    body = asking('/call get_weather {"city": "Oslo"}', tools=[FUNCTION])
    message = (await answer(server.channel, body))["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sunny"}
    body["messages"] += [message, result]
    (choice,) = (await answer(server.channel, body))["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("sunny", "stop")


async def test_an_answer_has_the_schemas_form_or_is_refused(server):
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
    document = await answer(server.channel, asking('{"city": "Oslo"}', response_format=form))
    assert json.loads(document["choices"][0]["message"]["content"]) == {"city": "Oslo"}
    refused = await refusal(server.channel, asking("Oslo", response_format=form))
    assert (refused.error["param"], refused.error["code"]) == ("response_format", "unsupported_parameter")


async def test_the_options_in_force_and_the_prompts_text_are_told(serve):
    server = await serve(default_temperature=0.5, default_max_output_tokens=7)
    asked = chat("one two", response_options={"include_effective_options": True, "include_prompt_text": True})
    told = await server.chat.Chat(asked)
    assert told.effective_options.temperature == 0.5
    assert told.effective_options.max_output_tokens == told.max_output_tokens == 7
    assert "one two" in told.prompt_text


async def test_every_caller_gets_the_operators_answer(serve):
    server = await serve(scripted_answer="/think Hm.\n/say Always this.")
    told = (await server.chat.Chat(chat("Never?"))).choices[0].message
    assert (told.reasoning, told.content[0].text) == ("Hm.", "Always this.")
