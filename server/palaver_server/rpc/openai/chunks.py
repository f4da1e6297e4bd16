"""An answer piece by piece: the ``chat.completion.chunk`` events of a stream.

A token's chunk is put together from text that is made once a stream: only the piece itself is escaped anew.
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from json.encoder import encode_basestring as _quoted  # escapes in C, and leaves what is not ASCII as it is
from typing import Any

from palaver_server.core.events import ChoiceEnd, Delta, Finished, Started, Usage
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.model import ModelDescription
from palaver_server.core.strict_json import to_json
from palaver_server.rpc.openai.ends import finish_reason, stop_reason
from palaver_server.rpc.openai.logprobs import logprobs_to_json
from palaver_server.rpc.openai.metrics import metrics_to_json
from palaver_server.rpc.openai.tool_calls import tool_call_delta_to_json
from palaver_server.rpc.openai.truncation import truncation_to_json
from palaver_server.rpc.openai.usage import usage_to_json

DONE = b"data: [DONE]\n\n"
"""The end of a stream that has said everything."""
COMMENT = b": still here\n\n"
"""Keeps a silent stream alive; readers of events pass over it."""


class Chunks:
    """Writes the chunks of one stream.

    Args:
        request: what was asked.
        answer_id: the answer's own name.
        model: the model that answers.
        created: the time of day, in seconds since 1970.
        has_usage: a last chunk, without choices, tells the usage.
        has_running_usage: every chunk tells the usage of its choice so far.
    """

    def __init__(
        self,
        request: GenerationRequest,
        *,
        answer_id: str,
        model: ModelDescription,
        created: int,
        has_usage: bool,
        has_running_usage: bool,
    ) -> None:
        self._request = request
        self._has_usage = has_usage
        self._has_running_usage = has_running_usage
        self._has_token_ids = request.response_options.token_ids
        self._head = (
            f'data: {{"id":{_quoted(answer_id)},"object":"chat.completion.chunk","created":{created},'
            f'"model":{_quoted(model.model_id)},"system_fingerprint":{_quoted(model.system_fingerprint)},"choices":['
        )
        # OpenAI writes the null, vLLM leaves it out; readers that look for the field find it in both kinds of chunks.
        self._tail = ',"usage":null}\n\n' if has_usage and not has_running_usage else "}\n\n"
        count = request.options.choice_count or 1
        self._text_heads = [f'{self._head}{{"index":{index},"delta":{{"content":' for index in range(count)]
        self._prompt_tokens = 0
        self._token_counts = [0] * count
        self._ended: set[int] = set()
        """Choices whose end has been told."""
        # A delta with nothing but text takes the short way unless something is wanted beside it.
        self._is_plain = not (has_running_usage or self._has_token_ids or request.options.top_logprobs is not None)

    def start(self, started: Started) -> bytes:
        """The first chunk of each choice, which names the speaker."""
        self._prompt_tokens = started.prompt_token_count
        extra: dict[str, Any] = {}
        if self._has_token_ids:
            extra["prompt_token_ids"] = list(started.prompt_token_ids)
        if self._request.response_options.prompt_text:
            extra["prompt_text"] = started.prompt_text
        if started.truncation is not None:
            extra["context_truncation"] = truncation_to_json(started.truncation)
        return b"".join(
            self._chunk(index, {"role": "assistant", "content": ""}, {}, extra)
            for index in range(len(self._token_counts))
        )

    def piece(self, delta: Delta) -> bytes:
        """A chunk of a choice. This runs for each message of each stream: it does no more than it must."""
        if delta.end is not None:
            return self._last_piece(delta, delta.end)
        if self._is_plain and delta.text and not (delta.reasoning or delta.tool_calls):
            head = self._text_heads[delta.choice_index]
            return f'{head}{_quoted(delta.text)}}},"logprobs":null,"finish_reason":null}}]{self._tail}'.encode()
        return self._rich_piece(delta)

    def finish(self, finished: Finished) -> bytes:
        """The end of each choice, the usage where it was asked for, and the end of the stream."""
        if len(self._token_counts) == 1:  # also of tokens without text, such as the one that ended it
            self._token_counts[0] = finished.usage.output_token_count
        ends = [self._end(end) for end in finished.choices if end.choice_index not in self._ended]
        if self._has_usage:
            usage = to_json(usage_to_json(finished.usage))
            metrics = metrics_to_json(finished)
            times = "" if metrics is None else f',"metrics":{to_json(metrics)}'
            ends.append(f'{self._head}],"usage":{usage}{times}}}\n\n'.encode())
        return b"".join((*ends, DONE))

    def _last_piece(self, delta: Delta, end: ChoiceEnd) -> bytes:
        self._ended.add(end.choice_index)
        said = b"" if delta == Delta("", 0, end.choice_index, end=end) else self._rich_piece(delta)
        return said + self._end(end)

    def _rich_piece(self, delta: Delta) -> bytes:
        self._token_counts[delta.choice_index] += delta.token_count
        said: dict[str, Any] = {}
        if delta.reasoning:
            said["reasoning"] = delta.reasoning
        if delta.text:
            said["content"] = delta.text
        if delta.tool_calls:
            said["tool_calls"] = [tool_call_delta_to_json(piece) for piece in delta.tool_calls]
        beside: dict[str, Any] = {}
        if delta.logprobs:
            beside["logprobs"] = logprobs_to_json(delta.logprobs)
        if self._has_token_ids:
            beside["token_ids"] = list(delta.token_ids)
        return self._chunk(delta.choice_index, said, beside, {})

    def _end(self, end: ChoiceEnd) -> bytes:
        beside: dict[str, Any] = {
            "finish_reason": finish_reason(end, self._request.tool_choice),
            "stop_reason": stop_reason(end),
        }
        return self._chunk(end.choice_index, {}, beside, {})

    def _chunk(self, index: int, said: dict[str, Any], beside: dict[str, Any], extra: dict[str, Any]) -> bytes:
        choice = {"index": index, "delta": said, "logprobs": None, "finish_reason": None, **beside}
        rest = dict(extra)
        if self._has_running_usage:
            rest["usage"] = usage_to_json(Usage(self._prompt_tokens, self._token_counts[index]))
        more = f",{to_json(rest)[1:-1]}" if rest else ""
        return f"{self._head}{to_json(choice)}]{more}{self._tail}".encode()
