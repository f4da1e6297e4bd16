"""One table of bad bodies of OpenAI's protocol: code, reason and ``param``, the field as the caller wrote it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from palaver_server.rpc.openai import refused
from palaver_server.rpc.openai.body import Body
from tests.wire.openai_calls import asking, refusal

INVALID, UNSUPPORTED, MALFORMED = "invalid_value", "unsupported_parameter", "malformed_request"


class Row(NamedTuple):
    body: dict[str, Any] | bytes
    param: str | None
    code: str = INVALID


def said(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"messages": list(messages)}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
OTHER = {"type": "function", "function": {"name": "g"}}
SCHEMA = {"name": "any", "schema": {"type": "object"}}
REPETITION = "repetition_detection"
CALLING = {"role": "assistant", "tool_calls": [CALL]}


def result(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "sunny"}


def thinking(reasoning: str, content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": "x", "reasoning": reasoning, "reasoning_content": content}


ROWS = [
    # JSON itself
    Row(b"", None, MALFORMED),
    Row(b"{", None, MALFORMED),
    Row(b"hello", None, MALFORMED),
    Row(b"\xff\xfe{}", None, MALFORMED),
    Row(b"{} {}", None, MALFORMED),
    Row(b'{"temperature": NaN}', None, MALFORMED),
    Row(b'{"model": "a", "model": "b"}', "model", MALFORMED),
    Row(b'{"messages": [{"role": "user", "role": "user"}]}', "messages[0].role", MALFORMED),
    Row(b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "messages[0].content", MALFORMED),
    Row(b'{"a":' * 200 + b"1" + b"}" * 200, None, MALFORMED),
    Row(b"[" * 100_000, None, MALFORMED),
    Row(b"[]", None),
    Row(b'"text"', None),
    Row(b"null", None),
    # types
    Row(b"{}", "messages"),
    Row(asking(messages="hi"), "messages"),
    Row(asking(messages=["hi"]), "messages[0]"),
    Row(asking(model=1), "model"),
    Row(asking(temperature="1"), "temperature"),
    Row(asking(temperature=True), "temperature"),
    Row(asking(max_tokens=True), "max_tokens"),
    Row(asking(max_tokens=1.0), "max_tokens"),
    Row(asking(max_tokens="10"), "max_tokens"),
    Row(asking(stream="true"), "stream"),
    Row(asking(stream=1), "stream"),
    Row(asking(stop=7), "stop"),
    Row(asking(stop=["a", 7]), "stop[1]"),
    Row(asking(stop={"a": 1}), "stop"),
    Row(asking(seed=1.5), "seed"),
    Row(asking(seed=2**63), "seed"),
    Row(asking(max_tokens=2**31), "max_tokens"),
    Row(asking(logit_bias=[1]), "logit_bias"),
    Row(asking(logit_bias={"x": 1}), "logit_bias"),
    Row(asking(logit_bias={"-1": 1}), "logit_bias"),
    Row(asking(logit_bias={"1": "2"}), "logit_bias.1"),
    Row(asking(stream=True, stream_options=True), "stream_options"),
    Row(asking(stream=True, stream_options={"include_usage": 1}), "stream_options.include_usage"),
    # rules of the contract, by OpenAI's names
    Row(asking(temperature=2.1), "temperature"),
    Row(asking(temperature=-1), "temperature"),
    Row(asking(top_p=1.1), "top_p"),
    Row(asking(top_k=-2), "top_k"),
    Row(asking(min_p=2), "min_p"),
    Row(asking(presence_penalty=3), "presence_penalty"),
    Row(asking(frequency_penalty=-3), "frequency_penalty"),
    Row(asking(repetition_penalty=0), "repetition_penalty"),
    Row(asking(max_tokens=0), "max_tokens"),
    Row(asking(max_completion_tokens=0), "max_completion_tokens"),
    Row(asking(max_completion_tokens=10**6), "max_completion_tokens"),
    Row(asking(stop=""), "stop"),
    Row(asking(stop=["a", ""]), "stop[1]"),
    Row(asking(stop=["x"] * 65), "stop"),
    Row(asking(model="m" * 513), "model"),
    Row(asking(model="other"), "model", "model_not_found"),
    Row(asking("word " * 9000), "messages", "context_length_exceeded"),
    Row(said(), "messages"),
    Row(said({"role": "user"}), "messages[0].content"),
    Row(said(user(None)), "messages[0].content"),
    Row(said(user([])), "messages[0].content"),
    Row(said({"role": "assistant", "content": "x"}), "messages"),
    Row(said({"content": "x"}), "messages[0].role"),
    Row(said({"role": "robot", "content": "x"}), "messages[0].role"),
    Row(said({"role": "function", "name": "f", "content": "x"}), "messages[0].role"),
    Row(said(user("a"), user(5)), "messages[1].content"),
    Row(said(user([{"type": "text"}])), "messages[0].content[0].text"),
    Row(said(user([{"text": "x"}])), "messages[0].content[0].type"),
    Row(said(user(["x"])), "messages[0].content[0]"),
    # tools, calls and results that do not belong together
    Row(said(user("x"), result("c1")), "messages[1].tool_call_id"),
    Row(said(result("c1"), CALLING, user("x")), "messages[0].tool_call_id"),
    Row(said(CALLING, result("c2")), "messages[1].tool_call_id"),
    Row(said(CALLING, result("c1"), result("c1")), "messages[2].tool_call_id"),
    Row(said(CALLING, {"role": "tool", "content": "sunny"}), "messages[1].tool_call_id"),
    Row(said({"role": "assistant", "tool_calls": [CALL, CALL]}, result("c1")), "messages[0].tool_calls[1].id"),
    Row(said({"role": "assistant", "tool_calls": [{**CALL, "id": ""}]}, user("x")), "messages[0].tool_calls[0].id"),
    Row(said({**user("x"), "tool_calls": [CALL]}), "messages[0].tool_calls"),
    Row(asking(tools=[FUNCTION, FUNCTION]), "tools"),
    Row(asking(tools=[FUNCTION], tool_choice=OTHER), "tool_choice"),
    Row(asking(tool_choice=OTHER), "tool_choice"),
    Row(asking(tool_choice="required"), "tool_choice"),
    # one thing said twice, or said where it means nothing
    Row(asking(max_tokens=1, max_completion_tokens=2), "max_tokens"),
    Row(asking(stream_options={"include_usage": True}), "stream_options"),
    Row(asking(top_logprobs=2), "top_logprobs"),
    Row(asking(logprob_token_ids=[1]), "logprob_token_ids"),
    Row(asking(tools=[]), "tools"),
    Row(asking(tool_choice="sometimes"), "tool_choice"),
    Row(asking(tool_choice={"type": "function"}), "tool_choice.function"),
    Row(asking(tools=[{"type": "function", "function": {}}]), "tools[0].function.name"),
    Row(
        asking(tools=[{"type": "function", "function": {"name": "f", "parameters": []}}]),
        "tools[0].function.parameters",
    ),
    Row(asking(response_format={"type": "yaml"}), "response_format.type"),
    Row(asking(response_format={"type": "json_schema"}), "response_format.json_schema"),
    Row(asking(structured_outputs={"regex": "a", "choice": ["b"]}), "structured_outputs"),
    Row(asking(truncation_side="left"), "truncation_side"),
    Row(asking(add_generation_prompt=False), "add_generation_prompt"),
    Row(asking(continue_final_message=True, add_generation_prompt=True), "add_generation_prompt"),
    Row(asking(user="a", safety_identifier="b"), "user"),
    Row(asking(stream_interval=4), "stream_interval"),
    Row(asking(stream=True, stream_interval=0), "stream_interval"),
    Row(asking(stream=True, stream_options={"continuous_usage_stats": True}), "stream_options.continuous_usage_stats"),
    Row(asking(response_format={"type": "text", "json_schema": SCHEMA}), "response_format.json_schema"),
    Row(asking(response_format={"type": "json_object", "json_schema": SCHEMA}), "response_format.json_schema"),
    Row(asking(response_format={"type": "text", "format": {}}), "response_format.format"),
    Row(asking(response_format={"type": "json_object", "triggers": ["x"]}), "response_format.triggers"),
    Row(asking(response_format={"type": "json_object", "structures": []}), "response_format.structures"),
    Row(asking(response_format={"type": "json_object", "format": {}}), "response_format.format"),
    Row(
        asking(response_format={"type": "json_schema", "json_schema": SCHEMA, "triggers": []}),
        "response_format.triggers",
    ),
    Row(asking(repetition_detection={"min_count": 3, "min_pattern_size": 1}), f"{REPETITION}.max_pattern_size"),
    Row(asking(repetition_detection={"min_count": 3}), f"{REPETITION}.max_pattern_size"),
    Row(asking(repetition_detection={"max_pattern_size": 0, "min_pattern_size": 2}), f"{REPETITION}.max_pattern_size"),
    Row(asking(reasoning_effort="none", chat_template_kwargs={"enable_thinking": True}), "reasoning_effort"),
    Row(asking(chat_template_kwargs={"enable_thinking": True, "thinking": False}), "chat_template_kwargs"),
    Row(said(user("x"), thinking("a", "b"), user("y")), "messages[1].reasoning_content"),
    Row(
        said(user("x"), {**thinking("a", "a"), "provider_specific_fields": {"reasoning": "b"}}, user("y")),
        "messages[1].provider_specific_fields.reasoning",
    ),
    Row(asking(model="models/"), "model"),
    Row(asking(metadata={"": "b"}), "metadata[]"),
    Row(asking(metadata={"Team": "b" * 513}), "metadata[Team]"),
    Row(asking(metadata={"k" * 65: "b"}), f"metadata[{'k' * 65}]"),
    Row(asking(metadata={"Team": 1}), "metadata.Team"),
    # what nobody here does
    Row(asking(temprature=1), "temprature", UNSUPPORTED),
    Row(asking(**{"x" * 5000: 1}), "x" * 64 + "...", UNSUPPORTED),
    Row(asking(**{"<list>": 1}), "<list>", UNSUPPORTED),
    Row(asking(temprature=1, temperature="x"), "temprature", UNSUPPORTED),
    Row(said({**user("x"), "mood": "good"}), "messages[0].mood", UNSUPPORTED),
    Row(said({**user("x"), "refusal": "no"}), "messages[0].refusal", UNSUPPORTED),
    Row(
        said(user([{"type": "image_url", "image_url": {"url": "x"}}])), "messages[0].content[0].image_url", UNSUPPORTED
    ),
    Row(said(user([{"type": "input_audio", "input_audio": {}}])), "messages[0].content[0].input_audio", UNSUPPORTED),
    Row(
        asking(stream=True, stream_options={"include_obfuscation": True}),
        "stream_options.include_obfuscation",
        UNSUPPORTED,
    ),
    Row(asking(tools=[{**FUNCTION, "defer_loading": True}]), "tools[0].defer_loading", UNSUPPORTED),
    Row(asking(store=0), "store", UNSUPPORTED),
    Row(asking(prompt_cache_key=7), "prompt_cache_key"),
    Row(asking(verbosity="low"), "verbosity", UNSUPPORTED),
    Row(asking(service_tier="flex"), "service_tier", UNSUPPORTED),
    Row(asking(prompt_cache_options={"mode": "explicit"}), "prompt_cache_options", UNSUPPORTED),
    Row(asking(tools=[{"type": "custom", "custom": {"name": "f"}}]), "tools[0].custom", UNSUPPORTED),
    Row(
        asking(tools=[FUNCTION], tool_choice={"type": "custom", "custom": {"name": "f"}}),
        "tool_choice.custom",
        UNSUPPORTED,
    ),
    Row(
        asking(tools=[FUNCTION], tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}),
        "tool_choice.allowed_tools",
        UNSUPPORTED,
    ),
    Row(
        said({"role": "assistant", "tool_calls": [{"id": "c1", "type": "custom", "custom": {}}]}, user("x")),
        "messages[0].tool_calls[0].custom",
        UNSUPPORTED,
    ),
]


@pytest.fixture(scope="module")
def names() -> list[str]:
    return [f"{index}: {str(row.body)[:60]} -> {row.param}" for index, row in enumerate(ROWS)]


async def test_every_bad_body_is_refused_by_the_name_of_its_field(serve, names):
    server = await serve()
    told = {name: await refusal(server.channel, row.body) for name, row in zip(names, ROWS, strict=True)}
    wrong = {
        name: (refused.error["param"], refused.error["code"])
        for (name, refused), row in zip(told.items(), ROWS, strict=True)
        if (refused.error["param"], refused.error["code"]) != (row.param, row.code)
    }
    assert wrong == {}
    for refused_body in told.values():
        assert refused_body.error["type"] == "invalid_request_error"
        assert refused_body.code in ("INVALID_ARGUMENT", "NOT_FOUND")
        assert len(json.dumps(refused_body.error)) < 4096
    assert (await refusal(server.channel, asking(temperature=3))).error["param"] == "temperature"


async def test_every_parameter_of_others_is_refused_by_name_unless_it_asks_for_nothing(serve):
    server = await serve()
    for name, entry in refused.PARAMETERS.items():
        told = await refusal(server.channel, asking(**{name: {"any": "thing"}}))
        assert (told.error["param"], told.error["code"]) == (name, UNSUPPORTED)
        assert entry.reason in told.error["message"]
        for neutral in entry.neutral:
            Body.model_validate(asking(**{name: neutral}))


async def test_a_tool_that_is_none_here_is_refused_with_the_reason(serve):
    server = await serve()
    custom = await refusal(server.channel, asking(tools=[{"type": "custom", "custom": {"name": "f"}}]))
    assert "tools are functions" in custom.error["message"]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}
    chosen = await refusal(server.channel, asking(tools=[FUNCTION], tool_choice=choice))
    assert "offer the allowed tools alone" in chosen.error["message"]


def test_no_parameter_is_both_taken_and_refused():
    assert not set(refused.PARAMETERS) & set(Body.model_fields)
