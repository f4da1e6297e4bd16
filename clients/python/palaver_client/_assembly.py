"""The events of a stream, put together to the answer that they are the pieces of."""

from __future__ import annotations

from dataclasses import dataclass, field

from palaver.v1 import (
    chat_service_pb2,
    choice_pb2,
    content_part_pb2,
    message_pb2,
    role_pb2,
    tool_call_pb2,
    usage_pb2,
)


@dataclass(slots=True)
class _Parts:
    """What has come of one choice."""

    texts: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: dict[int, tool_call_pb2.ToolCall] = field(default_factory=dict)
    arguments: dict[int, list[str]] = field(default_factory=dict)
    choice: choice_pb2.Choice = field(default_factory=choice_pb2.Choice)

    def add_call(self, piece: tool_call_pb2.ToolCallDelta) -> None:
        call = self.calls.setdefault(piece.index, tool_call_pb2.ToolCall())
        call.id = call.id or piece.id
        call.name = call.name or piece.name
        if piece.arguments_json:
            self.arguments.setdefault(piece.index, []).append(piece.arguments_json)
        call.state = piece.state or call.state
        call.problem = call.problem or piece.problem

    def whole(self) -> choice_pb2.Choice:
        text = "".join(self.texts)
        for index, pieces in self.arguments.items():
            self.calls[index].arguments_json = "".join(pieces)
        message = message_pb2.Message(
            role=role_pb2.ROLE_ASSISTANT,
            content=[content_part_pb2.ContentPart(text=text)] if text else [],
            reasoning="".join(self.reasoning),
            tool_calls=[self.calls[index] for index in sorted(self.calls)],
        )
        self.choice.message.CopyFrom(message)
        return self.choice


class Assembly:
    """Takes the events of one stream in their order."""

    def __init__(self) -> None:
        self._choices: dict[int, _Parts] = {}
        self._answer = chat_service_pb2.ChatResponse()
        self._usage: usage_pb2.Usage | None = None
        self.is_finished = False
        """Whether the last event has come."""

    @property
    def text(self) -> str:
        """What has come of the first choice's text."""
        first = self._choices.get(0)
        return "".join(first.texts) if first else ""

    @property
    def usage(self) -> usage_pb2.Usage | None:
        """The newest count of tokens; None before the first."""
        return self._usage

    def add(self, event: chat_service_pb2.StreamChatResponse) -> None:
        """Take the next event. A kind that this client is too old to know is passed over, as the contract asks."""
        kind = event.WhichOneof("event")
        if kind == "delta":
            self._add_delta(event.delta)
        elif kind == "started":
            self._add_started(event.started)
        elif kind == "finished":
            self._add_finished(event.finished)

    def answer(self) -> chat_service_pb2.ChatResponse:
        """The whole answer, once ``is_finished``."""
        return self._answer

    def _add_started(self, started: chat_service_pb2.ChatStarted) -> None:
        answer = self._answer
        answer.id, answer.model = started.id, started.model
        answer.create_time.CopyFrom(started.create_time)
        answer.max_output_tokens = started.max_output_tokens
        answer.system_fingerprint = started.system_fingerprint
        if started.HasField("context_truncation"):
            answer.context_truncation.CopyFrom(started.context_truncation)
        if started.HasField("effective_options"):
            answer.effective_options.CopyFrom(started.effective_options)
        answer.prompt_text = started.prompt_text
        answer.prompt_token_ids.extend(started.prompt_token_ids)

    def _add_delta(self, delta: chat_service_pb2.ChatDelta) -> None:
        parts = self._choices.get(delta.choice_index)
        if parts is None:
            parts = self._choices[delta.choice_index] = _Parts()
        if delta.text:
            parts.texts.append(delta.text)
        if delta.reasoning:
            parts.reasoning.append(delta.reasoning)
        for piece in delta.tool_calls:
            parts.add_call(piece)
        if delta.HasField("logprobs"):
            parts.choice.logprobs.tokens.extend(delta.logprobs.tokens)
        if delta.token_ids:
            parts.choice.token_ids.extend(delta.token_ids)
        if delta.HasField("usage"):
            self._usage = delta.usage

    def _add_finished(self, finished: chat_service_pb2.ChatFinished) -> None:
        for end in finished.choices:
            parts = self._choices.get(end.index) or _Parts()
            choice = parts.whole()
            choice.index, choice.finish_reason = end.index, end.finish_reason
            if end.HasField("stop_match"):
                choice.stop_match.CopyFrom(end.stop_match)
            self._answer.choices.append(choice)
        self._answer.usage.CopyFrom(finished.usage)
        self._answer.timings.CopyFrom(finished.timings)
        if finished.HasField("prompt_logprobs"):
            self._answer.prompt_logprobs.CopyFrom(finished.prompt_logprobs)
        self._usage = finished.usage
        self.is_finished = True
