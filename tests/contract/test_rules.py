"""The rules that stand in the protos, run as the server runs them: what they accept, and what they say of the rest."""

import math
from collections.abc import Callable

import protovalidate
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from palaver.v1 import chat_service_pb2, model_service_pb2, openai_service_pb2
from palaver.v1.chat_service_pb2 import ChatRequest, StreamChatRequest
from palaver.v1.message_pb2 import Message as Turn
from palaver.v1.role_pb2 import ROLE_ASSISTANT, ROLE_SYSTEM, ROLE_TOOL, ROLE_USER

VALIDATOR = protovalidate.Validator()
FULL = """{
  "model": "zai-org/GLM-4.5-Air",
  "messages": [
    {"role": "ROLE_SYSTEM", "content": [{"text": "Be brief."}]},
    {"role": "ROLE_USER", "name": "ada", "content": [{"text": "What is the weather"}, {"text": " in Paris?"}]},
    {"role": "ROLE_ASSISTANT", "reasoning": "I should ask.", "tool_calls": [
      {"id": "call-1", "name": "weather", "arguments_json": "{\\"city\\": \\"Paris\\"}"}]},
    {"role": "ROLE_TOOL", "tool_call_id": "call-1", "content": [{"text": "sunny"}]},
    {"role": "ROLE_ASSISTANT", "content": []},
    {"role": "ROLE_USER", "content": [{"text": ""}]}
  ],
  "options": {
    "max_output_tokens": 1, "min_output_tokens": 1, "temperature": 2, "top_p": 1, "top_k": 1, "min_p": 1,
    "presence_penalty": -2, "frequency_penalty": 2, "repetition_penalty": 2, "stop_sequences": ["a"], "seed": 0,
    "choice_count": 128, "top_logprobs": 20, "time_limit": "86400s", "stop_before_deadline": true,
    "stop_token_ids": [0], "ignore_eos": false, "include_stop_sequence": true, "skip_special_tokens": false,
    "spaces_between_special_tokens": false, "logit_bias": {"0": -100, "7": 100}, "bad_words": ["b"],
    "allowed_token_ids": [0, 1], "prompt_top_logprobs": 0, "watermarking": false,
    "repetition_detection": {"max_pattern_tokens": 2, "min_pattern_tokens": 2, "min_repeat_count": 2}
  },
  "tools": [{"name": "weather", "description": "Tells it.", "parameters_json_schema": "{}", "strict": true},
            {"name": "other.tool_2-x"}],
  "tool_choice": {"tool_name": "weather"},
  "parallel_tool_calls": false,
  "response_format": {"json_schema": {"name": "answer", "json_schema": "{}"}},
  "reasoning": {"enabled": true, "effort": "REASONING_EFFORT_HIGH", "budget_tokens": 0, "include_reasoning": false},
  "context_policy": {"overflow": "CONTEXT_OVERFLOW_DROP_OLDEST", "max_prompt_tokens": 1, "reserved_output_tokens": 1},
  "chat_template_arguments_json": "{}",
  "response_options": {"include_effective_options": true, "include_token_ids": true, "include_prompt_text": true},
  "user_id": "u-1", "labels": {"team": "red"}, "priority": -100
}"""


def full() -> ChatRequest:
    """A request with every field set, each number at a bound that is still fine."""
    return json_format.Parse(FULL, ChatRequest())


def turn(role: int, text: str | None = "hello") -> Turn:
    made = Turn()
    made.role = role  # type: ignore[assignment]  # a number from outside, as it comes over the wire
    if text is not None:
        made.content.add(text=text)
    return made


def asked(*turns: Turn) -> ChatRequest:
    return ChatRequest(messages=turns or [turn(ROLE_USER)])


def violations(message: Message) -> list[tuple[str, str]]:
    """The path and the rule of everything that is wrong, the path as protovalidate writes it."""
    found = []
    for violation in VALIDATOR.collect_violations(message):
        path = ""
        for element in violation.proto.field.elements if violation.proto.field else ():
            path += f".{element.field_name}" if path else element.field_name
            if element.subscript is not None:
                path += f"[{element.subscript.value}]"
        found.append((path, violation.proto.rule_id))
    return found


def test_a_request_with_one_user_message_is_fine() -> None:
    assert violations(asked()) == []


def test_a_request_with_every_field_at_its_bounds_is_fine() -> None:
    request = full()
    left_out = {field.name for field in request.DESCRIPTOR.fields} - {field.name for field, _ in request.ListFields()}
    assert left_out == {"continue_final_message"}, "the request of this test should set every field"
    # Only one of these two fields can be used in a request.
    options = {field.name for field in request.options.DESCRIPTOR.fields}
    assert options - {field.name for field, _ in request.options.ListFields()} == {"logprob_token_ids"}
    assert violations(request) == []


def test_the_lower_bounds_are_fine_too() -> None:
    request = asked()
    for name in ("temperature", "top_p", "min_p", "top_logprobs", "seed", "min_output_tokens"):
        setattr(request.options, name, 0)
    request.options.repetition_penalty = 1e-9
    request.options.choice_count = 1
    request.options.time_limit.FromNanoseconds(1)
    request.options.logprob_token_ids.extend([1, 2])
    assert violations(request) == []


def test_a_tool_answer_may_come_last() -> None:
    answer = turn(ROLE_TOOL, None)
    answer.tool_call_id = "call-1"
    assert violations(asked(turn(ROLE_USER), answer)) == []


def test_an_assistant_message_may_come_last_when_it_is_to_be_continued() -> None:
    request = asked(turn(ROLE_USER), turn(ROLE_ASSISTANT, "Once upon"))
    assert violations(request) == [("", "messages.last-role")]
    request.continue_final_message = True
    assert violations(request) == []


def test_only_an_assistant_message_with_text_can_be_continued() -> None:
    calling = turn(ROLE_ASSISTANT)
    calling.tool_calls.add(id="call-1", name="weather")
    for last in (turn(ROLE_USER), turn(ROLE_ASSISTANT, None), calling):
        request = asked(turn(ROLE_USER), last)
        request.continue_final_message = True
        assert violations(request) == [("", "continue_final_message.assistant-only")]


@pytest.mark.parametrize("name", ["temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2.0000001, -2.0000001])
def test_a_real_number_out_of_range_is_refused(name: str, value: float) -> None:
    request = asked()
    setattr(request.options, name, value)
    assert violations(request) == [(f"options.{name}", "double.gte_lte")]


def say(text: str = "hello", count: int = 1) -> list[dict[str, object]]:
    return [{"role": "ROLE_USER", "content": [{"text": text}]}] * count


# What is merged into a good request as JSON, or done to it, and where which rule finds it.
WRONG: list[tuple[str, str, dict[str, object] | Callable[[ChatRequest], object]]] = [
    ("messages", "repeated.min_items", lambda r: r.ClearField("messages")),
    ("messages", "repeated.max_items", {"messages": say(count=4097)}),
    ("", "messages.last-role", lambda r: r.messages.append(turn(ROLE_SYSTEM))),
    ("messages[0].role", "required", lambda r: r.messages.insert(0, turn(0))),
    ("messages[0].role", "enum.defined_only", lambda r: r.messages.insert(0, turn(9))),
    ("messages[1]", "content.needed", lambda r: r.messages.append(turn(ROLE_USER, None))),
    ("messages[0]", "content.needed", lambda r: r.messages.insert(0, turn(ROLE_SYSTEM, None))),
    ("messages[0].content", "repeated.max_items", {"messages": [{"role": 2, "content": [{"text": ""}] * 1025}]}),
    ("messages[0].content[1].part", "required", lambda r: r.messages[0].content.add()),
    ("messages[0].content[0].text", "string.max_bytes", {"messages": say("x" * (2**24 + 1))}),
    ("messages[0]", "tool_calls.assistant-only", lambda r: r.messages[0].tool_calls.add(id="a", name="b")),
    ("messages[0]", "reasoning.assistant-only", lambda r: setattr(r.messages[0], "reasoning", "hm")),
    ("messages[0]", "tool_call_id.tool-only", lambda r: setattr(r.messages[0], "tool_call_id", "a")),
    ("messages[1]", "tool_call_id.needed", lambda r: r.messages.append(turn(ROLE_TOOL))),
    ("messages[0].name", "string.max_len", lambda r: setattr(r.messages[0], "name", "x" * 65)),
    ("options.max_output_tokens", "int32.gte", {"options": {"max_output_tokens": 0}}),
    ("options.max_output_tokens", "int32.gte", {"options": {"max_output_tokens": -1}}),
    ("options.top_k", "int32.gte", {"options": {"top_k": 0}}),
    ("options.top_k", "int32.gte", {"options": {"top_k": -1}}),
    ("options.top_p", "double.gte_lte", {"options": {"top_p": 1.1}}),
    ("options.min_p", "double.gte_lte", {"options": {"min_p": -0.1}}),
    ("options.repetition_penalty", "double.gt_lte", {"options": {"repetition_penalty": 0}}),
    ("options.repetition_penalty", "double.gt_lte", {"options": {"repetition_penalty": "NaN"}}),
    ("options.seed", "int32.gte", {"options": {"seed": -1}}),
    ("options.choice_count", "int32.gte_lte", {"options": {"choice_count": 0}}),
    ("options.choice_count", "int32.gte_lte", {"options": {"choice_count": 129}}),
    ("options.top_logprobs", "int32.gte_lte", {"options": {"top_logprobs": 21}}),
    ("options.prompt_top_logprobs", "int32.gte_lte", {"options": {"prompt_top_logprobs": -1}}),
    ("options.stop_sequences", "repeated.max_items", {"options": {"stop_sequences": ["a"] * 65}}),
    ("options.stop_sequences[1]", "string.min_len", {"options": {"stop_sequences": ["a", ""]}}),
    ("options.stop_sequences[0]", "string.max_len", {"options": {"stop_sequences": ["x" * 257]}}),
    ("options.bad_words[0]", "string.min_len", {"options": {"bad_words": [""]}}),
    ("options.stop_token_ids[0]", "int32.gte", {"options": {"stop_token_ids": [-1]}}),
    ("options.allowed_token_ids[0]", "int32.gte", {"options": {"allowed_token_ids": [-1]}}),
    ("options.logprob_token_ids", "repeated.unique", {"options": {"logprob_token_ids": [1, 1]}}),
    ("options.logit_bias[5]", "double.gte_lte", {"options": {"logit_bias": {"5": 100.5}}}),
    ("options.logit_bias[5]", "double.gte_lte", {"options": {"logit_bias": {"5": "NaN"}}}),
    ("options.logit_bias[-5]", "int32.gte", {"options": {"logit_bias": {"-5": 1}}}),
    ("options.time_limit", "duration.gt_lte", {"options": {"time_limit": "0s"}}),
    ("options.time_limit", "duration.gt_lte", {"options": {"time_limit": "86401s"}}),
    ("options", "min_output_tokens.above-max", {"options": {"max_output_tokens": 1, "min_output_tokens": 2}}),
    ("options", "logprob_token_ids.with-top-logprobs", {"options": {"logprob_token_ids": [1], "top_logprobs": 1}}),
    (
        "options.repetition_detection",
        "min_pattern_tokens.above-max",
        {
            "options": {
                "repetition_detection": {"max_pattern_tokens": 1, "min_pattern_tokens": 2, "min_repeat_count": 2}
            }
        },
    ),
    ("tools[0].name", "tool-name", {"tools": [{"name": "get weather"}]}),
    ("tools[0].name", "tool-name", {"tools": [{"name": "weather\n"}]}),
    ("tools[0].name", "tool-name", {"tools": [{"name": "x" * 129}]}),
    ("tools[0].name", "tool-name", {"tools": [{}]}),
    ("tools", "tool-names-unique", {"tools": [{"name": "a"}, {"name": "b"}, {"name": "a"}]}),
    ("tool_choice.choice", "required", {"tool_choice": {}}),
    ("tool_choice.mode", "not-unspecified", {"tool_choice": {"mode": 0}}),
    ("", "tool_choice.no-tools", {"tool_choice": {"mode": "TOOL_CHOICE_MODE_REQUIRED"}}),
    ("", "tool_choice.unknown-tool", {"tools": [{"name": "b"}], "tool_choice": {"tool_name": "a"}}),
    ("response_format.format", "required", {"response_format": {}}),
    ("response_format.regex", "string.min_len", {"response_format": {"regex": ""}}),
    ("response_format.grammar", "string.min_len", {"response_format": {"grammar": ""}}),
    ("response_format.structural_tag_json", "string.min_len", {"response_format": {"structural_tag_json": ""}}),
    ("response_format.choice.values", "repeated.min_items", {"response_format": {"choice": {}}}),
    ("response_format.choice.values", "repeated.unique", {"response_format": {"choice": {"values": ["a", "a"]}}}),
    ("response_format.json_schema.json_schema", "string.min_len", {"response_format": {"json_schema": {}}}),
    (
        "response_format.json_schema.name",
        "schema-name",
        {"response_format": {"json_schema": {"name": "x" * 65, "json_schema": "{}"}}},
    ),
    ("reasoning", "effort.reasoning-off", {"reasoning": {"enabled": False, "effort": "REASONING_EFFORT_LOW"}}),
    ("reasoning", "budget_tokens.reasoning-off", {"reasoning": {"enabled": False, "budget_tokens": 1}}),
    ("reasoning.effort", "not-unspecified", {"reasoning": {"effort": 0}}),
    ("reasoning.budget_tokens", "int32.gte", {"reasoning": {"budget_tokens": -1}}),
    ("context_policy.overflow", "not-unspecified", {"context_policy": {"overflow": 0}}),
    ("context_policy.max_prompt_tokens", "int32.gte", {"context_policy": {"max_prompt_tokens": 0}}),
    ("user_id", "string.max_len", {"user_id": "x" * 257}),
    ("labels", "map.max_pairs", {"labels": {f"a{i}": "" for i in range(65)}}),
    ("labels[]", "string.min_len", {"labels": {"": "red"}}),
    ("model", "model-has-id", {"model": "models/"}),
    ("labels[" + "x" * 65 + "]", "string.max_len", {"labels": {"x" * 65: "red"}}),
    ("labels[team]", "string.max_len", {"labels": {"team": "x" * 513}}),
    ("priority", "int32.gte_lte", {"priority": 101}),
    ("model", "string.max_len", {"model": "x" * 513}),
]


@pytest.mark.parametrize(
    ("path", "rule", "change"), WRONG, ids=[f"{path or 'request'}-{rule}" for path, rule, _ in WRONG]
)
def test_what_is_wrong_is_refused_where_it_is_wrong(
    path: str, rule: str, change: dict[str, object] | Callable[[ChatRequest], object]
) -> None:
    request = asked()
    if callable(change):
        change(request)
    else:
        json_format.ParseDict(change, request)
    assert violations(request) == [(path, rule)]


def test_a_stream_and_a_count_name_the_field_below_chat() -> None:
    bad = asked()
    bad.options.temperature = 3
    for request in (StreamChatRequest(chat=bad), chat_service_pb2.CountTokensRequest(chat=bad)):
        assert violations(request) == [("chat.options.temperature", "double.gte_lte")]


def test_a_stream_and_a_count_need_a_conversation() -> None:
    for request in (StreamChatRequest(), chat_service_pb2.CountTokensRequest()):
        assert violations(request) == [("chat", "required")]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    bad = asked(turn(0))
    bad.options.temperature = 3
    bad.user_id = "x" * 257
    assert {path for path, _ in violations(bad)} == {"", "messages[0].role", "options.temperature", "user_id"}


@pytest.mark.parametrize("name", ["", "models/", "glm", "model/glm"])
def test_a_resource_name_of_no_model_is_refused(name: str) -> None:
    assert violations(model_service_pb2.GetModelRequest(name=name)) == [("name", "model-name")]


def test_a_model_id_may_have_slashes() -> None:
    assert violations(model_service_pb2.GetModelRequest(name="models/zai-org/GLM-4.5-Air")) == []
    assert violations(openai_service_pb2.GetOpenAIModelRequest(model="zai-org/GLM-4.5-Air")) == []


def test_a_negative_page_size_is_refused_and_none_is_fine() -> None:
    assert violations(model_service_pb2.ListModelsRequest(page_size=-1)) == [("page_size", "int32.gte")]
    assert violations(model_service_pb2.ListModelsRequest()) == []
