"""Keyword arguments become the contract's request, and wrong ones are named."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from palaver.v1 import (
    chat_service_pb2,
    context_policy_pb2,
    generation_options_pb2,
    message_pb2,
    reasoning_options_pb2,
    response_format_pb2,
    response_options_pb2,
    role_pb2,
    tool_call_pb2,
    tool_pb2,
)
from palaver_client import ChatOptions, StreamOptions
from palaver_client._request import _WRITERS, chat_request, stream_request
from palaver_client.options import CallOptions


def build(prompt="hello", *, system=None, **options):
    return chat_request(prompt, system=system, options=options)


def said(request: chat_service_pb2.ChatRequest) -> list[tuple[str, str]]:
    return [
        (role_pb2.Role.Name(message.role).removeprefix("ROLE_").lower(), "".join(part.text for part in message.content))
        for message in request.messages
    ]


def test_every_field_of_the_contract_has_an_option():
    knobs = set(generation_options_pb2.GenerationOptions.DESCRIPTOR.fields_by_name)
    extras = set(response_options_pb2.ResponseOptions.DESCRIPTOR.fields_by_name)
    fields = set(chat_service_pb2.ChatRequest.DESCRIPTOR.fields_by_name)
    fields -= {"messages", "options", "response_options", "chat_template_arguments_json"}
    own = set(ChatOptions.__annotations__) - set(CallOptions.__annotations__)
    assert own == knobs | extras | fields | {"chat_template_arguments"}
    assert set(_WRITERS) == own
    stream = set(chat_service_pb2.StreamChatRequest.DESCRIPTOR.fields_by_name) - {"chat"}
    assert set(StreamOptions.__annotations__) - set(ChatOptions.__annotations__) == stream


def test_scalar_options_arrive_in_their_fields():
    request = build(
        model="m",
        max_output_tokens=5,
        temperature=0.7,
        top_p=0.9,
        top_k=3,
        min_p=0.1,
        presence_penalty=-1,
        frequency_penalty=0.5,
        repetition_penalty=1.1,
        seed=0,
        choice_count=2,
        top_logprobs=0,
        stop_before_deadline=True,
        ignore_eos=False,
        user_id="u",
        priority=-3,
        continue_final_message=True,
    )
    options = request.options
    assert request.model == "m"
    assert (options.max_output_tokens, options.temperature, options.top_p, options.top_k) == (5, 0.7, 0.9, 3)
    assert (options.min_p, options.presence_penalty, options.frequency_penalty) == (0.1, -1, 0.5)
    assert (options.repetition_penalty, options.choice_count) == (1.1, 2)
    assert options.stop_before_deadline
    assert (request.user_id, request.priority, request.continue_final_message) == ("u", -3, True)
    # Zero and false are values, not the lack of one.
    assert all(options.HasField(name) for name in ("seed", "top_logprobs", "ignore_eos"))


def test_none_leaves_an_option_unset():
    request = build(temperature=None, seed=None, model=None, tools=None)
    assert request == build()
    assert not request.HasField("options")


def test_collections_arrive_in_their_fields():
    request = build(
        stop_sequences=["a", "b"],
        stop_token_ids=[1, 2],
        bad_words=("c",),
        allowed_token_ids=range(3),
        logprob_token_ids=[4],
        logit_bias={7: -100},
        labels={"team": "x"},
        include_token_ids=True,
        include_prompt_text=True,
        include_effective_options=False,
    )
    options = request.options
    assert list(options.stop_sequences) == ["a", "b"]
    assert list(options.allowed_token_ids) == [0, 1, 2]
    assert dict(options.logit_bias) == {7: -100.0}
    assert dict(request.labels) == {"team": "x"}
    assert request.response_options.include_token_ids
    assert not request.response_options.include_effective_options


def test_one_stop_sequence_may_be_written_as_text():
    assert list(build(stop_sequences="END").options.stop_sequences) == ["END"]


@pytest.mark.parametrize("limit", [1.5, timedelta(seconds=1.5)])
def test_a_time_limit_may_be_seconds_or_a_timedelta(limit):
    assert build(time_limit=limit).options.time_limit.ToTimedelta() == timedelta(seconds=1.5)


def test_a_whole_number_of_seconds_is_a_time_limit_too():
    assert build(time_limit=90).options.time_limit.seconds == 90


def test_a_question_is_a_user_message_after_the_system_message():
    assert said(build("hi", system="be kind")) == [("system", "be kind"), ("user", "hi")]


def test_messages_may_be_dictionaries_or_the_contracts():
    call = tool_call_pb2.ToolCall(id="1", name="add", arguments_json="{}")
    request = build(
        [
            {"role": "system", "content": "s"},
            message_pb2.Message(role=role_pb2.ROLE_USER),
            {"role": "assistant", "content": None, "tool_calls": [call], "reasoning": "hm"},
            {"role": "tool", "content": "4", "tool_call_id": "1", "name": "adder"},
        ]
    )
    assert [role for role, _ in said(request)] == ["system", "user", "assistant", "tool"]
    assert request.messages[2].tool_calls[0] == call
    assert (request.messages[2].reasoning, len(request.messages[2].content)) == ("hm", 0)
    assert (request.messages[3].tool_call_id, request.messages[3].name) == ("1", "adder")


def test_one_message_needs_no_list():
    assert said(build({"role": "user", "content": "hi"})) == [("user", "hi")]
    assert len(build(message_pb2.Message(role=role_pb2.ROLE_USER)).messages) == 1


def test_the_callers_messages_are_copied():
    message = message_pb2.Message(role=role_pb2.ROLE_USER)
    request = build(message)
    message.name = "changed"
    assert request.messages[0].name == ""


def test_tools_may_be_dictionaries_and_keep_the_order_of_their_schema():
    schema = {"type": "object", "properties": {"z": {"type": "number"}, "a": {"type": "string"}}}
    request = build(
        tools=[
            {"name": "f", "description": "does f", "parameters": schema, "strict": True},
            {"name": "g"},
            tool_pb2.Tool(name="h"),
        ]
    )
    first, second, third = request.tools
    assert list(json.loads(first.parameters_json_schema)["properties"]) == ["z", "a"]
    assert (first.description, first.strict, second.parameters_json_schema, third.name) == ("does f", True, "", "h")
    assert not second.HasField("strict")


def test_a_tool_choice_is_a_mode_or_a_tools_name():
    assert build(tool_choice="required").tool_choice.mode == tool_pb2.TOOL_CHOICE_MODE_REQUIRED
    assert build(tool_choice="weather").tool_choice.tool_name == "weather"
    named_auto = tool_pb2.ToolChoice(tool_name="auto")
    assert build(tool_choice=named_auto).tool_choice == named_auto


def test_a_response_format_is_a_word_a_schema_or_a_message():
    assert build(response_format="json_object").response_format.WhichOneof("format") == "json_object"
    assert build(response_format="text").response_format.WhichOneof("format") == "text"
    schema = build(response_format={"type": "object"}).response_format.json_schema.json_schema
    assert json.loads(schema) == {"type": "object"}
    regex = response_format_pb2.ResponseFormat(regex="[a-z]+")
    assert build(response_format=regex).response_format == regex


def test_reasoning_is_a_switch_an_effort_or_a_message():
    assert build(reasoning=False).reasoning.HasField("enabled")
    assert build(reasoning="high").reasoning.effort == reasoning_options_pb2.REASONING_EFFORT_HIGH
    budget = reasoning_options_pb2.ReasoningOptions(budget_tokens=64)
    assert build(reasoning=budget).reasoning == budget


def test_a_context_policy_is_a_word_or_a_message():
    drop = build(context_policy="drop_oldest").context_policy
    assert drop.overflow == context_policy_pb2.CONTEXT_OVERFLOW_DROP_OLDEST
    policy = context_policy_pb2.ContextPolicy(max_prompt_tokens=5)
    assert build(context_policy=policy).context_policy == policy


def test_template_arguments_travel_as_json():
    assert json.loads(build(chat_template_arguments={"x": [1, "ü"]}).chat_template_arguments_json) == {"x": [1, "ü"]}


def test_a_stream_has_its_own_options_and_those_of_a_chat():
    request = stream_request(
        "hi", system=None, options={"include_running_usage": True, "min_tokens_per_delta": 4, "seed": 1}
    )
    assert (request.include_running_usage, request.min_tokens_per_delta, request.chat.options.seed) == (True, 4, 1)
    unset = stream_request("hi", system=None, options={"min_tokens_per_delta": None})
    assert not unset.HasField("min_tokens_per_delta")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"temperatur": 1}, TypeError, "there is no option 'temperatur'; did you mean 'temperature'?"),
        ({"zzz": 1}, TypeError, "there is no option 'zzz'"),
        ({"temperature": "hot"}, TypeError, "temperature: "),
        ({"max_output_tokens": 2**40}, ValueError, "max_output_tokens: "),
        ({"max_output_tokens": 1.5}, TypeError, "max_output_tokens: "),
        ({"stop_sequences": 5}, TypeError, "stop_sequences: "),
        ({"bad_words": "word"}, TypeError, "bad_words: expected a sequence of texts"),
        ({"reasoning": "much"}, ValueError, "reasoning: must be one of minimal, low"),
        ({"context_policy": "drop"}, ValueError, "context_policy: must be one of reject"),
        ({"response_format": "json"}, ValueError, "response_format: write 'text', 'json_object'"),
        ({"tools": [{"description": "d"}]}, ValueError, "tools: tool 0: the name is missing"),
        ({"tools": [{"name": "n", "params": {}}]}, ValueError, "tools: tool 0: there is no key 'params'"),
        ({"tools": [5]}, TypeError, "tools: "),
        ({"tool_choice": 5}, TypeError, "tool_choice: "),
        ({"time_limit": "soon"}, TypeError, "time_limit: "),
        ({"time_limit": float("inf")}, ValueError, "time_limit: "),
        ({"chat_template_arguments": {"x": float("nan")}}, ValueError, "chat_template_arguments: "),
        ({"user_id": "\ud800"}, ValueError, "user_id: "),
        ({"labels": {"a": 1}}, TypeError, "labels: "),
    ],
)
def test_a_wrong_option_is_named(options, error, message):
    with pytest.raises(error) as caught:
        build(**options)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("prompt", "error", "message"),
    [
        (5, TypeError, "messages: expected text, a message or a sequence of messages, not int"),
        (["hi"], TypeError, "messages[0]: expected a message or a mapping with role and content, not str"),
        ([{"role": "robot", "content": "x"}], ValueError, "messages[0]: role must be one of system, user"),
        ([{"content": "x"}], ValueError, "messages[0]: role must be one of system, user"),
        ({"role": "user", "text": "x"}, ValueError, "messages[0]: there is no key 'text'"),
        ([{"role": "user", "content": "x"}, {"role": "user", "content": 5}], TypeError, "messages[1]: "),
        ("\ud800", ValueError, "messages: "),
    ],
)
def test_a_wrong_message_is_named(prompt, error, message):
    with pytest.raises(error) as caught:
        build(prompt)
    assert str(caught.value).startswith(message)
