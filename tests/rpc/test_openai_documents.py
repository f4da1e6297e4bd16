"""What is written of every kind of event, read back by OpenAI's own types; requests of every kind as the contract."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import ValidationError

from palaver.v1 import context_policy_pb2, reasoning_options_pb2, role_pb2, tool_pb2
from palaver_server.core.answer import WholeAnswer
from palaver_server.core.errors import PalaverError
from palaver_server.core.events import ChoiceEnd, Delta, Finished, FinishReason, Started, Timings, Usage
from palaver_server.core.generation import GenerationRequest, ResponseOptions
from palaver_server.core.logprobs import LogprobEntry, TokenLogprob
from palaver_server.core.model import ModelDescription
from palaver_server.core.options import GenerationOptions
from palaver_server.core.tools import NamedTool, ToolCallDelta, ToolCallState
from palaver_server.rpc.openai.body import Body
from palaver_server.rpc.openai.chunks import Chunks
from palaver_server.rpc.openai.completion import completion_json
from palaver_server.rpc.openai.request import request_from_body
from palaver_server.rpc.whole_answer import ReadAnswer


def logprob(token: str, number: int, value: float = -0.5) -> TokenLogprob:
    entry = LogprobEntry(token, token.encode(), number, value, 1)
    return TokenLogprob(entry, (entry, LogprobEntry("?", b"?", 9, None, 2)))


REQUEST = GenerationRequest(
    request_id="r",
    model="",
    messages=(),
    is_streamed=True,
    options=GenerationOptions(choice_count=2, top_logprobs=2, prompt_top_logprobs=1),
    response_options=ResponseOptions(token_ids=True, prompt_text=True),
)
STARTED = Started(3, 10, prompt_text="<hi>", prompt_token_ids=(1, 2, 3))
DELTAS = [
    Delta("", 1, 0, reasoning="let me ", logprobs=(logprob("let", 5),), token_ids=(5,)),
    Delta("He\u00e9", 1, 1, logprobs=(logprob("He", 6),), token_ids=(6,)),
    Delta("", 1, 0, reasoning="see", logprobs=(logprob("see", 7, -20000.0),), token_ids=(7,)),
    Delta("I look.", 2, 0, token_ids=(8, 9), logprobs=(logprob("I", 8), logprob("look", 9))),
    Delta("", 1, 0, tool_calls=(ToolCallDelta(0, "call-1", "find", '{"a'),), token_ids=(10,)),
    Delta('llo "you"', 1, 1, token_ids=(11,)),
    Delta(
        "", 1, 0, tool_calls=(ToolCallDelta(0, arguments_json='": 1}', state=ToolCallState.COMPLETE),), token_ids=(12,)
    ),
    Delta("", 1, 0, tool_calls=(ToolCallDelta(1, "call-2", "lost", "{", ToolCallState.CUT_OFF, "It was cut off."),)),
]
FINISHED = Finished(
    (ChoiceEnd(FinishReason.TOOL_CALLS, choice_index=0), ChoiceEnd(FinishReason.STOP, "you", choice_index=1)),
    Usage(3, 9, 1, 2),
    Timings(),
    (TokenLogprob(LogprobEntry("a", b"a", 1, None)), logprob("b", 2)),
)
NAMES: dict[str, Any] = {"answer_id": "chatcmpl-r", "model": ModelDescription("m"), "created": 7}


def whole(
    request: GenerationRequest = REQUEST, deltas: Sequence[Delta] = DELTAS, finished: Finished = FINISHED
) -> dict[str, Any]:
    said = WholeAnswer()
    for delta in deltas:
        said.add(delta)
    document: dict[str, Any] = json.loads(completion_json(request, ReadAnswer(STARTED, said, finished), **NAMES))
    return document


def streamed(request: GenerationRequest = REQUEST) -> list[dict[str, Any]]:
    chunks = Chunks(request, **NAMES, has_usage=True, has_running_usage=False)
    pieces = [chunks.start(STARTED), *map(chunks.piece, DELTAS), chunks.finish(FINISHED)]
    *events, done = [block.removeprefix("data: ") for block in b"".join(pieces).decode().split("\n\n") if block]
    assert done == "[DONE]"
    return [json.loads(event) for event in events]


def test_the_stream_adds_up_to_the_answer_in_one_piece():
    answer = whole()
    parsed = ChatCompletion.model_validate(answer, strict=True)
    state = ChatCompletionStreamState()
    for chunk in streamed():
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk, strict=True))
    snapshot = state.current_completion_snapshot
    for added, one in zip(snapshot.choices, parsed.choices, strict=True):
        assert added.message.content == one.message.content
        assert added.finish_reason == one.finish_reason
        calls = [(call.id, call.function.name, call.function.arguments) for call in added.message.tool_calls or ()]
        assert calls == [
            (call.id, call.function.name, call.function.arguments) for call in one.message.tool_calls or ()
        ]
        assert [entry.token for entry in added.logprobs.content] == [entry.token for entry in one.logprobs.content]
    assert snapshot.usage == parsed.usage


def test_an_answer_has_everything_that_was_asked_for():
    answer = whole()
    first, second = answer["choices"]
    assert first["message"]["reasoning"] == "let me see"
    assert first["message"]["content"] == "I look."
    assert first["finish_reason"] == "tool_calls"
    assert first["token_ids"] == [5, 7, 8, 9, 10, 12]
    assert first["message"]["tool_calls"] == [
        {"id": "call-1", "type": "function", "function": {"name": "find", "arguments": '{"a": 1}'}},
        {
            "id": "call-2",
            "type": "function",
            "function": {"name": "lost", "arguments": "{"},
            "state": "cut_off",
            "problem": "It was cut off.",
        },
    ]
    assert (second["finish_reason"], second["stop_reason"]) == ("stop", "you")
    assert "tool_calls" not in second["message"]
    assert second["message"]["content"] == 'He\u00e9llo "you"'
    assert first["logprobs"]["content"][1]["logprob"] == -9999.0
    assert second["logprobs"]["content"][0] == {
        "token": "He",
        "logprob": -0.5,
        "bytes": [72, 101],
        "top_logprobs": [
            {"token": "He", "logprob": -0.5, "bytes": [72, 101]},
            {"token": "?", "logprob": -9999.0, "bytes": [63]},
        ],
    }
    assert answer["prompt_logprobs"][0] is None
    assert answer["prompt_logprobs"][1]["2"] == {"logprob": -0.5, "rank": 1, "decoded_token": "b"}
    assert (answer["prompt_text"], answer["prompt_token_ids"]) == ("<hi>", [1, 2, 3])
    assert answer["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2}
    assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 1}


def test_who_named_the_tool_hears_stop():
    named = GenerationRequest("r", "", (), GenerationOptions(), is_streamed=True, tool_choice=NamedTool("find"))
    assert whole(named)["choices"][0]["finish_reason"] == "stop"


def test_content_is_null_beside_tool_calls_alone():
    call = Delta("", 1, 0, tool_calls=(ToolCallDelta(0, "c", "f", "{}", ToolCallState.COMPLETE),))
    finished = Finished((ChoiceEnd(FinishReason.TOOL_CALLS),), Usage(1, 1), Timings())
    assert whole(deltas=[call], finished=finished)["choices"][0]["message"]["content"] is None


def contract(**fields: Any) -> Any:
    return request_from_body(Body.model_validate({"messages": [{"role": "user", "content": "x"}], **fields}))


def test_tools_and_their_calls_become_the_contracts():
    function = {"name": "f", "description": "d", "parameters": {"type": "object", "z": 1, "a": None}, "strict": True}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"z":1}'}}
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"},
        {"role": "tool", "tool_call_id": "c", "content": "7"},
    ]
    chat = contract(messages=messages, tools=[{"type": "function", "function": function}], tool_choice="required").chat
    assert (chat.tools[0].name, chat.tools[0].strict) == ("f", True)
    assert chat.tools[0].parameters_json_schema == '{"type":"object","z":1,"a":null}'
    assert chat.tool_choice.mode == tool_pb2.TOOL_CHOICE_MODE_REQUIRED
    assert chat.messages[0].tool_calls[0].arguments_json == '{"z":1}'
    assert chat.messages[0].reasoning == "hm"
    assert (chat.messages[1].role, chat.messages[1].tool_call_id) == (role_pb2.ROLE_TOOL, "c")
    named = contract(tools=[{"type": "function", "function": function}], tool_choice={"function": {"name": "f"}})
    assert named.chat.tool_choice.tool_name == "f"


def test_litellms_copy_of_our_own_fields_is_taken_and_anything_else_in_it_refused():
    said = {"role": "assistant", "content": "7", "function_call": None}
    sent = {**said, "provider_specific_fields": {"refusal": None, "reasoning": "hm"}}
    assert contract(messages=[sent]).chat.messages[0].reasoning == "hm"
    assert contract(messages=[{**said, "provider_specific_fields": None}]).chat.messages[0].reasoning == ""
    with pytest.raises(ValidationError, match=r"provider_specific_fields.citations"):
        contract(messages=[{**said, "provider_specific_fields": {"citations": ["x"]}}])


@pytest.mark.parametrize(
    ("fields", "kind", "value"),
    [
        ({"response_format": {"type": "json_object"}}, "json_object", None),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"b": 1, "a": 2}}}},
            "json_schema",
            '{"b":1,"a":2}',
        ),
        ({"structured_outputs": {"json": {"b": 1}}}, "json_schema", '{"b":1}'),
        ({"structured_outputs": {"json": '{"b": 1}'}}, "json_schema", '{"b": 1}'),
        ({"structured_outputs": {"json_object": True}}, "json_object", None),
        ({"structured_outputs": {"regex": "a+"}}, "regex", "a+"),
        ({"structured_outputs": {"choice": ["a", "b"]}}, "choice", ["a", "b"]),
        ({"structured_outputs": {"grammar": "root ::= x"}}, "grammar", "root ::= x"),
        ({"structured_outputs": {"structural_tag": "{}"}}, "structural_tag_json", "{}"),
        (
            {"response_format": {"type": "structural_tag", "structures": [{"begin": "<a>"}], "triggers": ["<"]}},
            "structural_tag_json",
            '{"type":"structural_tag","structures":[{"begin":"<a>"}],"triggers":["<"]}',
        ),
    ],
)
def test_every_form_of_an_answer_becomes_the_contracts(fields, kind, value):
    response_format = contract(**fields).chat.response_format
    assert response_format.WhichOneof("format") == kind
    found = getattr(response_format, kind)
    if kind == "json_schema":
        found = found.json_schema
    assert value is None or (list(found.values) if kind == "choice" else found) == value


def test_free_text_is_no_form():
    assert not contract(response_format={"type": "text"}).chat.HasField("response_format")


def test_thinking_and_truncation_become_the_contracts():
    off = contract(reasoning_effort="none").chat.reasoning
    assert (off.HasField("enabled"), off.enabled) == (True, False)
    on = contract(reasoning_effort="high", thinking_token_budget=5, include_reasoning=False).chat.reasoning
    assert (on.effort, on.budget_tokens) == (reasoning_options_pb2.REASONING_EFFORT_HIGH, 5)
    assert on.HasField("include_reasoning")
    assert not on.include_reasoning
    policy = contract(truncate_prompt_tokens=9).chat.context_policy
    assert (policy.overflow, policy.max_prompt_tokens) == (context_policy_pb2.CONTEXT_OVERFLOW_TRUNCATE_START, 9)
    end = contract(truncate_prompt_tokens=-1, truncation_side="right").chat.context_policy
    assert end.overflow == context_policy_pb2.CONTEXT_OVERFLOW_TRUNCATE_END
    assert not end.HasField("max_prompt_tokens")


def test_a_form_asked_for_twice_is_refused():
    with pytest.raises(PalaverError, match="structured_outputs"):
        contract(response_format={"type": "json_object"}, structured_outputs={"regex": "a"})


def test_the_switch_of_thinking_that_vllms_callers_use_is_the_contracts_field():
    off = contract(chat_template_kwargs={"enable_thinking": False, "style": "x"}).chat
    assert (off.reasoning.enabled, off.reasoning.HasField("enabled")) == (False, True)
    assert json.loads(off.chat_template_arguments_json) == {"style": "x"}
    on = contract(chat_template_kwargs={"thinking": True}).chat
    assert (on.reasoning.enabled, on.chat_template_arguments_json) == (True, "")
    odd = contract(chat_template_kwargs={"enable_thinking": "yes"}).chat  # which the contract's own rule refuses
    assert not odd.HasField("reasoning")
    assert "enable_thinking" in odd.chat_template_arguments_json
