"""An answer in one piece: ``chat.completion``."""

from __future__ import annotations

from typing import Any

from palaver_server.core.answer import WholeAnswer
from palaver_server.core.events import ChoiceEnd, Delta, Finished, Started
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.model import ModelDescription
from palaver_server.rpc.openai.ends import finish_reason, stop_reason
from palaver_server.rpc.openai.logprobs import logprobs_to_json, prompt_logprobs_to_json
from palaver_server.rpc.openai.tool_calls import tool_call_to_json
from palaver_server.rpc.openai.truncation import truncation_to_json
from palaver_server.rpc.openai.usage import usage_to_json
from palaver_server.rpc.strict_json import to_json


class Completion:
    """Gathers the events of one answer.

    Args:
        request: what was asked; it decides which fields the answer has.
        answer_id: the answer's own name.
        model: the model that answers.
        created: the time of day, in seconds since 1970.
    """

    def __init__(self, request: GenerationRequest, *, answer_id: str, model: ModelDescription, created: int) -> None:
        self._request = request
        self._answer_id = answer_id
        self._model = model
        self._created = created
        self._started: Started | None = None
        self._answer = WholeAnswer()

    def start(self, started: Started) -> None:
        """Take the first event."""
        self._started = started

    def add(self, delta: Delta) -> None:
        """Take a piece of a choice."""
        self._answer.add(delta)

    def finish(self, finished: Finished) -> bytes:
        """The whole document, as vLLM's server writes it, fields that are null included."""
        request, started = self._request, self._started
        document = {
            "id": self._answer_id,
            "object": "chat.completion",
            "created": self._created,
            "model": self._model.model_id,
            "choices": [self._choice_to_json(end) for end in finished.choices],
            "service_tier": None,
            "system_fingerprint": self._model.system_fingerprint,
            "usage": usage_to_json(finished.usage),
            "prompt_logprobs": (
                None
                if request.options.prompt_top_logprobs is None
                else prompt_logprobs_to_json(finished.prompt_logprobs)
            ),
            "prompt_token_ids": (
                list(started.prompt_token_ids) if started and request.response_options.token_ids else None
            ),
            "prompt_text": started.prompt_text if started and request.response_options.prompt_text else None,
        }
        if started and started.truncation is not None:
            document["context_truncation"] = truncation_to_json(started.truncation)
        return to_json(document).encode()

    def _choice_to_json(self, end: ChoiceEnd) -> dict[str, Any]:
        choice, request = self._answer[end.choice_index], self._request
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
