"""One table of bad requests, each sent by a real client: code, reason, and the field's path as the caller wrote it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status.rpc_status import GRPC_DETAILS_METADATA_KEY

from palaver.v1 import chat_service_pb2, model_service_pb2

CHAT = "/palaver.v1.ChatService/Chat"
STREAM = "/palaver.v1.ChatService/StreamChat"
COUNT = "/palaver.v1.ChatService/CountTokens"
LIST = "/palaver.v1.ModelService/ListModels"
GET = "/palaver.v1.ModelService/GetModel"
EXPLAIN = "/palaver.v1.ChatService/ExplainChat"
REQUESTS: dict[str, Any] = {
    CHAT: chat_service_pb2.ChatRequest,
    STREAM: chat_service_pb2.StreamChatRequest,
    COUNT: chat_service_pb2.CountTokensRequest,
    LIST: model_service_pb2.ListModelsRequest,
    GET: model_service_pb2.GetModelRequest,
    EXPLAIN: chat_service_pb2.ExplainChatRequest,
}


@dataclass(frozen=True)
class Bad:
    name: str
    request: dict[str, Any] | bytes
    field: str | None
    reason: str = "INVALID_FIELD"
    code: str = "INVALID_ARGUMENT"
    method: str = CHAT
    metadata: tuple[tuple[str, str], ...] = field(default=())


def said(text: str = "hi", role: str = "ROLE_USER") -> dict[str, Any]:
    return {"role": role, "content": [{"text": text}]}


def calls(*ids: str) -> dict[str, Any]:
    return {"role": "ROLE_ASSISTANT", "tool_calls": [{"id": one, "name": "f"} for one in ids]}


def result(call_id: str) -> dict[str, Any]:
    return {**said("sunny", "ROLE_TOOL"), "tool_call_id": call_id}


def chat(**fields: Any) -> dict[str, Any]:
    return {"messages": [said()], **fields}


def options(**fields: Any) -> dict[str, Any]:
    return chat(options=fields)


UNSUPPORTED = "FIELD_NOT_SUPPORTED"
MALFORMED = "MALFORMED_REQUEST"
BROKEN = {"name": "f", "parameters_json_schema": "{"}
INVALID_UTF8 = b"\x12\x09\x08\x02\x12\x05\x0a\x03\xff\xfeA"  # messages { role: USER content { text: <ff fe 41> } }
UNKNOWN_FIELD = b"\xa2\x06\x01x"  # field 100
NEGATIVE_NANOS = chat_service_pb2.ChatRequest(
    messages=[{"role": "ROLE_USER", "content": [{"text": "hi"}]}],
    options={"time_limit": {"seconds": 1, "nanos": -5}},
).SerializeToString()
MANY_NANOS = chat_service_pb2.ChatRequest(
    messages=[{"role": "ROLE_USER", "content": [{"text": "hi"}]}],
    options={"time_limit": {"nanos": 2_000_000_000}},
).SerializeToString()
MANY = 300
"""Messages: more than are checked at once."""

TABLE = [
    Bad("no messages", {}, "messages"),
    Bad("an empty conversation", {"messages": []}, "messages"),
    Bad("an empty request message", b"", "messages"),
    Bad("ends with an assistant turn", {"messages": [said(), said("yes", "ROLE_ASSISTANT")]}, "messages"),
    Bad("ends with a system turn", {"messages": [said("obey", "ROLE_SYSTEM")]}, "messages"),
    Bad("a message without a role", {"messages": [{"content": [{"text": "x"}]}, said()]}, "messages[0].role"),
    Bad("a role that does not exist", {"messages": [said(role=17), said()]}, "messages[0].role"),  # type: ignore[arg-type]
    Bad("a user message without content", {"messages": [{"role": "ROLE_USER"}]}, "messages[0].content"),
    Bad("a content part without a kind", {"messages": [{"role": 2, "content": [{}]}]}, "messages[0].content[0].part"),
    Bad("4097 messages", {"messages": [said()] * 4097}, "messages"),
    Bad("1025 content parts", {"messages": [{"role": 2, "content": [{"text": ""}] * 1025}]}, "messages[0].content"),
    Bad("temperature 3", options(temperature=3), "options.temperature"),
    Bad("temperature below 0", options(temperature=-0.1), "options.temperature"),
    Bad("temperature NaN", options(temperature="NaN"), "options.temperature"),
    Bad("temperature infinite", options(temperature="Infinity"), "options.temperature"),
    Bad("top_p 1.5", options(top_p=1.5), "options.top_p"),
    Bad("top_p NaN", options(top_p="NaN"), "options.top_p"),
    Bad("top_p below 0", options(top_p=-1), "options.top_p"),
    Bad("top_k 0", options(top_k=0), "options.top_k"),
    Bad("top_k below 0", options(top_k=-1), "options.top_k"),
    Bad("min_p above 1", options(min_p=1.01), "options.min_p"),
    Bad("presence penalty 2.5", options(presence_penalty=2.5), "options.presence_penalty"),
    Bad("frequency penalty -3", options(frequency_penalty=-3), "options.frequency_penalty"),
    Bad("repetition penalty 0", options(repetition_penalty=0), "options.repetition_penalty"),
    Bad("0 output tokens", options(max_output_tokens=0), "options.max_output_tokens"),
    Bad("fewer than 0 output tokens", options(max_output_tokens=-5), "options.max_output_tokens"),
    Bad("10^9 output tokens", options(max_output_tokens=10**9), "options.max_output_tokens"),
    Bad("65 stop sequences", options(stop_sequences=["x"] * 65), "options.stop_sequences"),
    Bad("an empty stop sequence", options(stop_sequences=["x", ""]), "options.stop_sequences[1]"),
    Bad("a stop sequence of 257", options(stop_sequences=["x" * 257]), "options.stop_sequences[0]"),
    Bad("a seed below 0", options(seed=-1), "options.seed"),
    Bad("no time at all", options(time_limit="0s"), "options.time_limit"),
    Bad("a time limit of -5 ns more", NEGATIVE_NANOS, "options.time_limit"),
    Bad("a time limit of 2e9 ns", MANY_NANOS, "options.time_limit"),
    Bad("a time limit of two days", options(time_limit="172800s"), "options.time_limit"),
    Bad("a prompt longer than the context", {"messages": [said("word " * 9000)]}, "messages", "PROMPT_TOO_LONG"),
    Bad("an unknown model", chat(model="gpt-9"), "model", "MODEL_NOT_FOUND", "NOT_FOUND"),
    Bad("a model name of 513", chat(model="x" * 513), "model"),
    Bad("0 choices", options(choice_count=0), "options.choice_count"),
    Bad("129 choices", options(choice_count=129), "options.choice_count"),
    Bad("21 top log probabilities", options(top_logprobs=21), "options.top_logprobs"),
    Bad("fewer than 0 top log probabilities", options(top_logprobs=-1), "options.top_logprobs"),
    Bad("21 of the prompt", options(prompt_top_logprobs=21), "options.prompt_top_logprobs"),
    Bad("fewer than 0 tokens at least", options(min_output_tokens=-1), "options.min_output_tokens"),
    Bad("more at least than at most", options(min_output_tokens=5, max_output_tokens=4), "options.min_output_tokens"),
    Bad("129 stop tokens", options(stop_token_ids=[1] * 129), "options.stop_token_ids"),
    Bad("a stop token below 0", options(stop_token_ids=[1, -1]), "options.stop_token_ids[1]"),
    Bad("a bias for a token below 0", options(logit_bias={-1: 1.0}), "options.logit_bias[-1]"),
    Bad("a bias of 101", options(logit_bias={7: 101.0}), "options.logit_bias[7]"),
    Bad("a bias NaN", options(logit_bias={7: "NaN"}), "options.logit_bias[7]"),
    Bad("1025 biases", options(logit_bias=dict.fromkeys(range(1025), 1.0)), "options.logit_bias"),
    Bad("129 bad words", options(bad_words=["x"] * 129), "options.bad_words"),
    Bad("an empty bad word", options(bad_words=[""]), "options.bad_words[0]"),
    Bad("an allowed token below 0", options(allowed_token_ids=[-1]), "options.allowed_token_ids[0]"),
    Bad("65537 allowed tokens", options(allowed_token_ids=list(range(65537))), "options.allowed_token_ids"),
    Bad("reported tokens twice", options(logprob_token_ids=[1, 1]), "options.logprob_token_ids"),
    Bad("129 reported tokens", options(logprob_token_ids=list(range(129))), "options.logprob_token_ids"),
    Bad("reported tokens of two kinds", options(logprob_token_ids=[1], top_logprobs=1), "options.logprob_token_ids"),
    Bad(
        "repetition without a pattern",
        options(repetition_detection={"min_repeat_count": 2}),
        "options.repetition_detection.max_pattern_tokens",
    ),
    Bad(
        "repetition of once",
        options(repetition_detection={"max_pattern_tokens": 2, "min_repeat_count": 1}),
        "options.repetition_detection.min_repeat_count",
    ),
    Bad(
        "patterns from long to short",
        options(repetition_detection={"max_pattern_tokens": 2, "min_pattern_tokens": 3, "min_repeat_count": 2}),
        "options.repetition_detection.min_pattern_tokens",
    ),
    Bad("continuing a user", chat(continue_final_message=True), "continue_final_message"),
    Bad("a user id of 257", chat(user_id="u" * 257), "user_id"),
    Bad("a label without a name", chat(labels={"": "b"}), "labels[]"),
    Bad("a label of a long name", chat(labels={"k" * 65: "b"}), f"labels[{'k' * 65}]"),
    Bad("a model that is a beginning", chat(model="models/"), "model"),
    Bad("65 labels", chat(labels={f"k{n}": "" for n in range(65)}), "labels"),
    Bad("a long label", chat(labels={"a": "b" * 513}), "labels[a]"),
    Bad("a priority of 101", chat(priority=101), "priority"),
    Bad("template arguments of no JSON", chat(chat_template_arguments_json="{"), "chat_template_arguments_json"),
    Bad("template arguments of a list", chat(chat_template_arguments_json="[]"), "chat_template_arguments_json"),
    Bad("template arguments NaN", chat(chat_template_arguments_json='{"a":NaN}'), "chat_template_arguments_json"),
    Bad("template arguments 1e999", chat(chat_template_arguments_json='{"a":1e999}'), "chat_template_arguments_json"),
    Bad("a template argument twice", chat(chat_template_arguments_json='{"a":1,"a":2}'), "chat_template_arguments_json"),
    Bad(
        "a template within its arguments",
        chat(chat_template_arguments_json='{"chat_template": "x"}'),
        "chat_template_arguments_json",
    ),
    Bad(
        "thinking within the template's arguments",
        chat(chat_template_arguments_json='{"enable_thinking": false}'),
        "chat_template_arguments_json",
    ),
    Bad("a speaker's long name", {"messages": [{**said(), "name": "x" * 65}]}, "messages[0].name"),
    Bad("a user's thoughts", {"messages": [{**said(), "reasoning": "x"}]}, "messages[0].reasoning"),
    Bad("deltas of 0 tokens", {"chat": chat(), "min_tokens_per_delta": 0}, "min_tokens_per_delta", method=STREAM),
    Bad("deltas of 1025 tokens", {"chat": chat(), "min_tokens_per_delta": 1025}, "min_tokens_per_delta", method=STREAM),
    Bad("token ids of no model", chat(response_options={"include_token_ids": True}), "response_options.include_token_ids", UNSUPPORTED),
    Bad("a tool without a name", chat(tools=[{"description": "x"}]), "tools[0].name"),
    Bad("a tool's name with a space", chat(tools=[{"name": "a b"}]), "tools[0].name"),
    Bad("a tool's name of 129", chat(tools=[{"name": "a" * 129}]), "tools[0].name"),
    Bad("two tools of one name", chat(tools=[{"name": "a"}, {"name": "a"}]), "tools"),
    Bad("129 tools", chat(tools=[{"name": f"f{n}"} for n in range(129)]), "tools"),
    Bad("10,000 tools", {"chat": chat(tools=[{"name": f"f{n}"} for n in range(10_000)])}, "chat.tools", method=STREAM),
    Bad("a tool's long words", chat(tools=[{"name": "f", "description": "x" * 16385}]), "tools[0].description"),
    Bad("a choice of no tool", chat(tool_choice={"tool_name": "f"}), "tool_choice"),
    Bad("a demand without tools", chat(tool_choice={"mode": 3}), "tool_choice"),
    Bad("a choice without a kind", chat(tool_choice={}), "tool_choice.choice"),
    Bad("a mode that is not said", chat(tool_choice={"mode": 0}), "tool_choice.mode"),
    Bad("effort without thinking", chat(reasoning={"enabled": False, "effort": 2}), "reasoning.effort"),
    Bad("an effort that does not exist", chat(reasoning={"effort": 17}), "reasoning.effort"),
    Bad("a user who calls", {"messages": [{**said(), "tool_calls": [{"id": "1", "name": "f"}]}]}, "messages[0].tool_calls"),
    Bad("a tool that answers nobody", {"messages": [said("x", "ROLE_TOOL")]}, "messages[0].tool_call_id"),
    Bad("a user who answers a call", {"messages": [{**said(), "tool_call_id": "1"}]}, "messages[0].tool_call_id"),
    Bad(
        "a call without a name",
        {"messages": [{"role": 3, "tool_calls": [{"id": "1"}]}, said()]},
        "messages[0].tool_calls[0].name",
    ),
    Bad("a result of no call", {"messages": [said(), result("1")]}, "messages[1].tool_call_id"),
    Bad("a result before its call", {"messages": [result("1"), calls("1"), said()]}, "messages[0].tool_call_id"),
    Bad("a result of another call", {"messages": [calls("1"), result("2")]}, "messages[1].tool_call_id"),
    Bad("a second result", {"messages": [calls("1"), result("1"), result("1")]}, "messages[2].tool_call_id"),
    Bad("two calls of one id", {"messages": [calls("1", "2", "1"), result("1")]}, "messages[0].tool_calls[2].id"),
    Bad("a call without an id", {"messages": [calls(""), said()]}, "messages[0].tool_calls[0].id"),
    Bad("streaming a result of no call", {"chat": {"messages": [result("1")]}}, "chat.messages[0].tool_call_id", method=STREAM),
    Bad("counting a result of no call", {"chat": {"messages": [result("1")]}}, "chat.messages[0].tool_call_id", method=COUNT),
    Bad("a choice of another tool", chat(tools=[{"name": "f"}], tool_choice={"tool_name": "g"}), "tool_choice"),
    Bad("a call that nobody makes", chat(tools=[{"name": "f"}], tool_choice={"tool_name": "f"}), "tool_choice", UNSUPPORTED),
    Bad("a response format", chat(response_format={"json_object": {}}), "response_format", UNSUPPORTED),
    Bad("effort", chat(reasoning={"effort": 2}), "reasoning.effort", UNSUPPORTED),
    Bad("a budget below 0", chat(reasoning={"budget_tokens": -1}), "reasoning.budget_tokens"),
    Bad("a budget without thinking", chat(reasoning={"enabled": False, "budget_tokens": 1}), "reasoning.budget_tokens"),
    Bad("a policy that is not said", chat(context_policy={"overflow": 0}), "context_policy.overflow"),
    Bad("a policy that does not exist", chat(context_policy={"overflow": 9}), "context_policy.overflow"),
    Bad("a prompt of 0 tokens", chat(context_policy={"max_prompt_tokens": 0}), "context_policy.max_prompt_tokens"),
    Bad("a prompt of 8192", chat(context_policy={"max_prompt_tokens": 8192}), "context_policy.max_prompt_tokens"),
    Bad("nothing kept free", chat(context_policy={"reserved_output_tokens": 0}), "context_policy.reserved_output_tokens"),
    Bad("all kept free", chat(context_policy={"reserved_output_tokens": 8192}), "context_policy.reserved_output_tokens"),
    Bad("more than the policy takes", chat(context_policy={"max_prompt_tokens": 4}), "messages", "PROMPT_TOO_LONG"),
    Bad("cut words", chat(context_policy={"overflow": 3}), "context_policy.overflow", UNSUPPORTED),
    Bad(
        "nothing that may be dropped",
        {"messages": [said("w " * 9000)], "context_policy": {"overflow": 2}},
        "messages",
        "PROMPT_TOO_LONG",
    ),
    Bad("explaining nothing", {}, "chat", method=EXPLAIN),
    Bad("explaining temperature 3", {"chat": options(temperature=3)}, "chat.options.temperature", method=EXPLAIN),
    Bad("explaining too much", {"chat": {"messages": [said("w " * 9000)]}}, "chat.messages", "PROMPT_TOO_LONG", method=EXPLAIN),
    Bad("a priority", chat(priority=1), "priority", UNSUPPORTED),
    Bad("log probabilities", options(top_logprobs=0), "options.top_logprobs", UNSUPPORTED),
    Bad("stop token ids", options(stop_token_ids=[1]), "options.stop_token_ids", UNSUPPORTED),
    Bad("a logit bias", options(logit_bias={1: 2.0}), "options.logit_bias", UNSUPPORTED),
    Bad("a field of another contract", UNKNOWN_FIELD, "100", UNSUPPORTED),
    Bad("text that is not UTF-8", INVALID_UTF8, "messages[0].content[0].text", MALFORMED),
    Bad("bytes that are no message", b"\xff\xff\xff\xff", None, MALFORMED),
    Bad("JSON instead of protobuf", b'{"messages": []}', None, MALFORMED),
    Bad("a streamed call without a chat", {}, "chat", method=STREAM),
    Bad("a streamed call with temperature 3", {"chat": options(temperature=3)}, "chat.options.temperature", method=STREAM),
    Bad("a streamed call, too many tokens", {"chat": options(max_output_tokens=9000)}, "chat.options.max_output_tokens", method=STREAM),
    Bad("a streamed call, too long", {"chat": {"messages": [said("w " * 9000)]}}, "chat.messages", "PROMPT_TOO_LONG", method=STREAM),
    Bad("a streamed call, unknown model", {"chat": chat(model="x")}, "chat.model", "MODEL_NOT_FOUND", "NOT_FOUND", STREAM),
    Bad("counting nothing", {}, "chat", method=COUNT),
    Bad("counting with no schema", {"chat": chat(tools=[BROKEN])}, "chat.tools[0].parameters_json_schema", method=COUNT),
    Bad("a schema with 1e999", chat(tools=[{"name": "f", "parameters_json_schema": '{"x":1e999}'}]), "tools[0].parameters_json_schema"),
    Bad("a long label's key", chat(labels={"A" * 9000: "b"}), f"labels[{'A' * 128}...]"),
    Bad("100,000 labels", chat(labels={f"k{n}": "" for n in range(100_000)}), "labels"),
    Bad("too many pieces together", {"messages": [{"role": 2, "content": [{"text": ""}] * 1024}] * 16}, "messages[15].content"),
    Bad("100,000 unknown fields", b"\xa0\x06\x01" * 100_000, "100", UNSUPPORTED),
    Bad("a fault within many", {"messages": [*[said()] * MANY, {**said(), "name": "x" * 65}, said()]}, f"messages[{MANY}].name"),
    Bad("the last of many", {"chat": {"messages": [*[said()] * MANY, {**said(), "name": "x" * 65}]}}, f"chat.messages[{MANY}].name", method=STREAM),
    Bad("many and temperature 3", {"messages": [said()] * MANY, "options": {"temperature": 3}}, "options.temperature"),
    Bad("many that end wrongly", {"messages": [*[said()] * MANY, said("yes", "ROLE_ASSISTANT")]}, "messages"),
    Bad("unknown fields within many", json_format.ParseDict({"messages": [said()] * MANY}, chat_service_pb2.ChatRequest()).SerializeToString() + b"\x12\x0b\x08\x02\x12\x04\x0a\x02hi\xa0\x06\x01", f"messages[{MANY}].100", UNSUPPORTED),
    Bad("counting for an unknown model", {"chat": chat(model="x")}, "chat.model", "MODEL_NOT_FOUND", "NOT_FOUND", COUNT),
    Bad("a page of -1 models", {"page_size": -1}, "page_size", method=LIST),
    Bad("a page token of nobody", {"page_token": "2"}, "page_token", method=LIST),
    Bad("a model without a name", {}, "name", method=GET),
    Bad("a model outside the collection", {"name": "scripted"}, "name", method=GET),
    Bad("a model that is not there", {"name": "models/none"}, "name", "MODEL_NOT_FOUND", "NOT_FOUND", GET),
    Bad("a message above the limit", {"messages": [said("x" * (9 * 1024**2))]}, None, "", "RESOURCE_EXHAUSTED"),
    Bad("a method that does not exist", b"", None, "METHOD_NOT_FOUND", "UNIMPLEMENTED", "/palaver.v1.ChatService/Nope"),
]  # fmt: skip


def serialized(bad: Bad) -> bytes:
    if isinstance(bad.request, bytes):
        return bad.request
    message = json_format.ParseDict(bad.request, REQUESTS[bad.method]())
    data: bytes = message.SerializeToString()
    return data


@pytest.fixture(scope="module")
def table_size() -> int:
    return len(TABLE)


async def send(channel: grpc.aio.Channel, bad: Bad) -> grpc.aio.AioRpcError:
    data = serialized(bad)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        if bad.method == STREAM:
            async for _ in channel.unary_stream(bad.method)(data):
                pass
        else:
            await channel.unary_unary(bad.method)(data)
    return caught.value


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    details = dict(error.trailing_metadata())[GRPC_DETAILS_METADATA_KEY]
    return status_pb2.Status.FromString(details)


async def test_every_bad_request_is_refused_by_name_and_the_server_serves_on(serve, monkeypatch):
    server = await serve(allow_explain=True)
    reached = []
    generate = server.engine.generate
    monkeypatch.setattr(server.engine, "generate", lambda prompt: reached.append(prompt) or generate(prompt))
    assert len(TABLE) >= 40
    wrong = []
    for bad in TABLE:
        error = await send(server.channel, bad)
        if error.code().name != bad.code:
            wrong.append((bad.name, error.code().name, error.details()))
            continue
        if not bad.reason:  # refused by the transport, before any of our code
            continue
        status = status_of(error)
        info, blamed = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        assert status.details[0].Unpack(info)
        fields = []
        if len(status.details) > 1 and status.details[1].Unpack(blamed):
            fields = [violation.field for violation in blamed.field_violations]
        trailers = dict(error.trailing_metadata())
        agrees = (
            status.code == code_pb2.Code.Value(bad.code)
            and status.message == error.details()
            and info.reason == bad.reason
            and info.domain == "palaver.v1"
            and info.metadata["request_id"] == trailers["x-request-id"]
            and (bad.field is None or bad.field in fields)
        )
        if not agrees:
            wrong.append((bad.name, info.reason, fields, status.message))
        lowered = status.message.lower()
        assert not any(word in lowered for word in ("traceback", "vllm", 'file "', "exception")), status.message
    assert wrong == []
    assert reached == []
    good = json_format.ParseDict(chat(), chat_service_pb2.ChatRequest())
    assert (await server.chat.Chat(good)).choices[0].message.content[0].text == "hi"
    assert len(reached) == 1
    assert server.engine.running_count == 0
