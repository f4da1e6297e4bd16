"""OpenAI's SDK says what its users may send; each field of it has an answer here."""

from __future__ import annotations

from typing import get_type_hints

import pytest
from openai.types import chat, shared_params

from palaver_server.rpc.openai import body

SDK_TYPES = [
    (chat.completion_create_params.CompletionCreateParamsNonStreaming, body.Body),
    (chat.completion_create_params.CompletionCreateParamsStreaming, body.Body),
    (chat.ChatCompletionStreamOptionsParam, body.StreamOptions),
    (chat.ChatCompletionAssistantMessageParam, body.Message),
    (chat.ChatCompletionDeveloperMessageParam, body.Message),
    (chat.ChatCompletionSystemMessageParam, body.Message),
    (chat.ChatCompletionToolMessageParam, body.Message),
    (chat.ChatCompletionUserMessageParam, body.Message),
    (chat.ChatCompletionContentPartTextParam, body.TextPart),
    (chat.ChatCompletionContentPartImageParam, body.TextPart),
    (chat.ChatCompletionContentPartInputAudioParam, body.TextPart),
    (chat.ChatCompletionContentPartRefusalParam, body.TextPart),
    (chat.chat_completion_content_part_param.File, body.TextPart),
    (chat.ChatCompletionMessageFunctionToolCallParam, body.ToolCall),
    (chat.ChatCompletionMessageCustomToolCallParam, body.ToolCall),
    (chat.chat_completion_message_function_tool_call_param.Function, body.CalledFunction),
    (chat.ChatCompletionFunctionToolParam, body.Tool),
    (chat.ChatCompletionCustomToolParam, body.Tool),
    (shared_params.FunctionDefinition, body.Function),
    (chat.ChatCompletionNamedToolChoiceParam, body.ToolChoice),
    (chat.ChatCompletionNamedToolChoiceCustomParam, body.ToolChoice),
    (chat.ChatCompletionAllowedToolChoiceParam, body.ToolChoice),
    (shared_params.ResponseFormatText, body.ResponseFormat),
    (shared_params.ResponseFormatJSONObject, body.ResponseFormat),
    (shared_params.ResponseFormatJSONSchema, body.ResponseFormat),
    (shared_params.response_format_json_schema.JSONSchema, body.JsonSchema),
]
"""What the installed SDK may send, and what reads it here; the message of a ``function`` is older than tools."""


@pytest.mark.parametrize(("theirs", "ours"), SDK_TYPES, ids=lambda kind: kind.__name__)
def test_every_field_that_openais_sdk_knows_is_taken_or_refused_with_a_reason(theirs, ours):
    taken = {field.alias or name for name, field in ours.model_fields.items()}
    unknown = set(get_type_hints(theirs)) - taken - set(ours.refused)
    assert unknown == set()
