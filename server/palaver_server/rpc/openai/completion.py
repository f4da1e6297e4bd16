"""An answer in one piece: ``chat.completion``."""

from __future__ import annotations

from typing import Any

from palaver_server.core.answer import WholeChoice
from palaver_server.core.events import ChoiceEnd
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.model import ModelDescription
from palaver_server.core.strict_json import to_json
from palaver_server.rpc.openai.ends import finish_reason, stop_reason
from palaver_server.rpc.openai.logprobs import logprobs_to_json, prompt_logprobs_to_json
from palaver_server.rpc.openai.metrics import metrics_to_json
from palaver_server.rpc.openai.tool_calls import tool_call_to_json
from palaver_server.rpc.openai.truncation import truncation_to_json
from palaver_server.rpc.openai.usage import usage_to_json
from palaver_server.rpc.whole_answer import ReadAnswer


def completion_json(
    request: GenerationRequest, answer: ReadAnswer, *, answer_id: str, model: ModelDescription, created: int
) -> bytes:
    """The whole document, as vLLM's server writes it, fields that are null included.

    Args:
        request: what was asked; it decides which fields the answer has.
        answer: what the engine told.
        answer_id: the answer's own name.
        model: the model that answered.
        created: the time of day, in seconds since 1970.
    """
    started, finished, wanted = answer.started, answer.finished, request.response_options
    has_prompt_logprobs = request.options.prompt_top_logprobs is not None
    document: dict[str, Any] = {
        "id": answer_id,
        "object": "chat.completion",
        "created": created,
        "model": model.model_id,
        "choices": [_choice_to_json(answer.said[end.choice_index], end, request) for end in finished.choices],
        "service_tier": None,
        "system_fingerprint": model.system_fingerprint,
        "usage": usage_to_json(finished.usage),
        "metrics": metrics_to_json(finished),
        "prompt_logprobs": prompt_logprobs_to_json(finished.prompt_logprobs) if has_prompt_logprobs else None,
        "prompt_token_ids": list(started.prompt_token_ids) if wanted.token_ids else None,
        "prompt_text": started.prompt_text if wanted.prompt_text else None,
    }
    if started.truncation is not None:
        document["context_truncation"] = truncation_to_json(started.truncation)
    return to_json(document).encode()


def _choice_to_json(choice: WholeChoice, end: ChoiceEnd, request: GenerationRequest) -> dict[str, Any]:
    tool_calls = [tool_call_to_json(call) for call in choice.tool_calls]
    text = choice.text
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text if text or not tool_calls else None,
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
        "reasoning": choice.reasoning or None,
    }
    if tool_calls:
        message["tool_calls"] = tool_calls
    return {
        "index": end.choice_index,
        "message": message,
        "logprobs": None if request.options.top_logprobs is None else logprobs_to_json(choice.logprobs),
        "finish_reason": finish_reason(end, request.tool_choice),
        "stop_reason": stop_reason(end),
        "token_ids": choice.token_ids if request.response_options.token_ids else None,
    }
