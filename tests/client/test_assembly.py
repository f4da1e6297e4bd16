"""The events of a stream make the answer that they are the pieces of."""

from __future__ import annotations

from google.protobuf import text_format

from palaver.v1 import chat_service_pb2
from palaver_client import Answer, FinishReason
from palaver_client._assembly import Assembly

EVENTS = [
    """started { id: "a" model: "m" create_time { seconds: 5 } prompt_token_count: 3 max_output_tokens: 9
       system_fingerprint: "f" context_truncation { dropped_message_count: 1 } effective_options { seed: 4 }
       prompt_text: "p" prompt_token_ids: [1, 2] }""",
    'delta { reasoning: "hm" token_ids: 7 logprobs { tokens { chosen { token: "h" } } } }',
    'delta { choice_index: 1 text: "other" }',
    'delta { text: "a" token_ids: [8, 9] logprobs { tokens { chosen { token: "a" } } } }',
    'delta { reasoning: "m" tool_calls { index: 1 id: "t1" name: "g" } }',
    'delta { tool_calls { index: 0 id: "t0" name: "f" arguments_json: "{\\"x\\"" } }',
    'delta { tool_calls { index: 0 arguments_json: ": 1}" } tool_calls { index: 0 state: TOOL_CALL_STATE_COMPLETE } }',
    'delta { tool_calls { index: 1 state: TOOL_CALL_STATE_CUT_OFF problem: "cut" } usage { output_token_count: 2 } }',
    'delta { text: "b" }',
    """finished { choices { finish_reason: FINISH_REASON_TOOL_CALLS }
       choices { index: 1 finish_reason: FINISH_REASON_STOP stop_match { stop_sequence: "s" } }
       choices { index: 2 finish_reason: FINISH_REASON_LENGTH }
       usage { output_token_count: 5 } timings { total_duration { seconds: 1 } }
       prompt_logprobs { tokens { chosen { token: "p" } } } }""",
]
WHOLE = """
id: "a" model: "m" create_time { seconds: 5 } max_output_tokens: 9 system_fingerprint: "f"
context_truncation { dropped_message_count: 1 } effective_options { seed: 4 } prompt_text: "p" prompt_token_ids: [1, 2]
choices {
  message {
    role: ROLE_ASSISTANT content { text: "ab" } reasoning: "hmm"
    tool_calls { id: "t0" name: "f" arguments_json: "{\\"x\\": 1}" state: TOOL_CALL_STATE_COMPLETE }
    tool_calls { id: "t1" name: "g" state: TOOL_CALL_STATE_CUT_OFF problem: "cut" }
  }
  finish_reason: FINISH_REASON_TOOL_CALLS
  logprobs { tokens { chosen { token: "h" } } tokens { chosen { token: "a" } } } token_ids: [7, 8, 9]
}
choices {
  index: 1 message { role: ROLE_ASSISTANT content { text: "other" } } finish_reason: FINISH_REASON_STOP
  stop_match { stop_sequence: "s" }
}
choices { index: 2 message { role: ROLE_ASSISTANT } finish_reason: FINISH_REASON_LENGTH }
usage { output_token_count: 5 } timings { total_duration { seconds: 1 } }
prompt_logprobs { tokens { chosen { token: "p" } } }
"""


def event(text: str) -> chat_service_pb2.StreamChatResponse:
    return text_format.Parse(text, chat_service_pb2.StreamChatResponse())


def test_every_field_of_every_event_finds_its_place():
    assembly = Assembly()
    for text in EVENTS[:-1]:
        assembly.add(event(text))
        assert not assembly.is_finished
    assert assembly.text == "ab"
    assert assembly.usage.output_token_count == 2
    assembly.add(event(EVENTS[-1]))
    assert assembly.is_finished
    assert assembly.answer() == text_format.Parse(WHOLE, chat_service_pb2.ChatResponse())
    assert assembly.usage.output_token_count == 5


def test_every_field_of_an_answer_is_put_together():
    whole = text_format.Parse(WHOLE, chat_service_pb2.ChatResponse())
    missing = set(whole.DESCRIPTOR.fields_by_name) - {field.name for field, _ in whole.ListFields()}
    assert missing == set()
    choices = {field.name for choice in whole.choices for field, _ in choice.ListFields()}
    assert choices == set(whole.choices[0].DESCRIPTOR.fields_by_name)


def test_an_event_of_a_kind_to_come_is_passed_over():
    assembly = Assembly()
    assembly.add(chat_service_pb2.StreamChatResponse.FromString(b"\xaa\x06\x01x"))  # field 101
    assert not assembly.is_finished
    assert assembly.text == ""


def test_an_answer_tells_its_first_choice():
    answer = Answer(text_format.Parse(WHOLE, chat_service_pb2.ChatResponse()), "r")
    assert (answer.text, str(answer), answer.reasoning, answer.id, answer.model) == ("ab", "ab", "hmm", "a", "m")
    assert answer.finish_reason is FinishReason.TOOL_CALLS
    assert answer.finish_reason == "tool_calls"
    assert [call.name for call in answer.tool_calls] == ["f", "g"]
    assert len(answer.choices) == 3
    assert answer.usage.output_token_count == 5
    assert repr(answer) == "Answer(id='a', model='m', finish_reason='tool_calls', output_token_count=5)"


def test_a_finish_reason_to_come_is_unknown():
    proto = chat_service_pb2.ChatResponse()
    proto.choices.add(finish_reason=99)
    assert Answer(proto, "r").finish_reason is FinishReason.UNKNOWN
