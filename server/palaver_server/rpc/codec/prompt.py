"""A prompt that is looked at rather than answered."""

from __future__ import annotations

import json

from palaver.v1 import chat_service_pb2
from palaver_server.core.model import ModelDescription
from palaver_server.core.prompt import Explanation, PromptCount
from palaver_server.rpc.codec.answer import truncation_to_proto
from palaver_server.rpc.codec.options import options_to_proto


def count_to_proto(count: PromptCount, model: ModelDescription) -> chat_service_pb2.CountTokensResponse:
    """The length of a prompt."""
    return chat_service_pb2.CountTokensResponse(
        model=model.model_id,
        prompt_token_count=count.prompt_token_count,
        context_length=model.context_length or 0,
        max_output_tokens=count.max_output_tokens,
        context_truncation=truncation_to_proto(count.truncation),
        prompt_text=count.prompt_text,
        prompt_token_ids=count.prompt_token_ids,
    )


def explanation_to_proto(explanation: Explanation, model: ModelDescription) -> chat_service_pb2.ExplainChatResponse:
    """What the model would be given, and how its answer would be made."""
    started = explanation.started
    options = started.effective_options
    return chat_service_pb2.ExplainChatResponse(
        model=model.model_id,
        system_fingerprint=model.system_fingerprint,
        prompt_text=started.prompt_text,
        prompt_token_ids=started.prompt_token_ids,
        prompt_token_count=started.prompt_token_count,
        context_length=model.context_length or 0,
        max_output_tokens=started.max_output_tokens,
        effective_options=None if options is None else options_to_proto(options),
        context_truncation=truncation_to_proto(started.truncation),
        chat_template_sha256=model.chat_template_sha256,
        chat_template_arguments_json=json.dumps(dict(explanation.template_arguments), ensure_ascii=False),
        tool_call_parser=model.tool_call_parser,
        reasoning_parser=model.reasoning_parser,
    )
