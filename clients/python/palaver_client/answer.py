"""What a model said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Any, Protocol, Self, TypeVar

from palaver.v1 import chat_service_pb2, choice_pb2, message_pb2, usage_pb2
from palaver_client.tool_call import ToolCall


class JsonModel(Protocol):
    """A class that reads itself from JSON, as those of pydantic do."""

    @classmethod
    def model_validate_json(cls, json_data: str, /) -> Self:
        """Read JSON text."""


JsonModelT = TypeVar("JsonModelT", bound=JsonModel)


@unique
class FinishReason(StrEnum):
    """Why an answer ended. Equal to its name as text: ``answer.finish_reason == "length"``."""

    STOP = "stop"
    """The model ended by itself, or a stop sequence was met."""
    LENGTH = "length"
    """The answer has ``max_output_tokens`` tokens, or the context is full."""
    TOOL_CALLS = "tool_calls"
    """The model waits for the answers of the tools that it calls."""
    TIME_LIMIT = "time_limit"
    """The ``time_limit`` was over, or the timeout near and ``stop_before_deadline`` set."""
    REPETITION = "repetition"
    """The answer repeated itself, as ``repetition_detection`` says."""
    UNKNOWN = "unknown"
    """A reason that this client is too old to know; ``Answer.proto`` has its number."""


_REASONS = {
    choice_pb2.FINISH_REASON_STOP: FinishReason.STOP,
    choice_pb2.FINISH_REASON_LENGTH: FinishReason.LENGTH,
    choice_pb2.FINISH_REASON_TOOL_CALLS: FinishReason.TOOL_CALLS,
    choice_pb2.FINISH_REASON_TIME_LIMIT: FinishReason.TIME_LIMIT,
    choice_pb2.FINISH_REASON_REPETITION: FinishReason.REPETITION,
}


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """A whole answer. Its attributes tell the first choice; ``choices`` has all of them, where more were asked for.

    ``str(answer)`` is its text; its ``repr`` holds none, so that logs do not.
    """

    proto: chat_service_pb2.ChatResponse
    """The contract's message, with everything that the server said."""
    request_id: str
    """The name under which the server's log knows the call."""

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return (
            f"Answer(id={self.id!r}, model={self.model!r}, finish_reason={self.finish_reason.value!r}, "
            f"output_token_count={self.usage.output_token_count})"
        )

    @property
    def text(self) -> str:
        """What the model said; empty where it only calls tools."""
        return "".join(part.text for part in self.message.content)

    @property
    def reasoning(self) -> str:
        """What the model thought before it spoke; empty where it did not, or does not tell."""
        return self.message.reasoning

    @property
    def tool_calls(self) -> Sequence[ToolCall]:
        """The tools that the model asks to have called, each with its state: look at it before you run one."""
        return tuple(ToolCall.of(call) for call in self.message.tool_calls)

    def json(self) -> Any:
        """The text as what it is the JSON of, for an answer that was held to a schema.

        Raises:
            ValueError: it is no JSON; where ``finish_reason`` is not ``stop``, because it was cut off.
        """
        with_reason = f"the answer, which ended by {self.finish_reason.value!r}, is no JSON"
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError) as error:
            raise ValueError(with_reason) from error

    def parsed(self, model: type[JsonModelT]) -> JsonModelT:
        """The text as an object of a class, such as the one that was given as ``response_format``.

        Raises:
            ValueError: the class refuses it, as pydantic's with its ``ValidationError``.
        """
        return model.model_validate_json(self.text)

    @property
    def message(self) -> message_pb2.Message:
        """The answer as a turn, which can be put into the next call's messages unchanged."""
        return self.proto.choices[0].message

    @property
    def finish_reason(self) -> FinishReason:
        """Why the answer ended."""
        return _REASONS.get(self.proto.choices[0].finish_reason, FinishReason.UNKNOWN)

    @property
    def choices(self) -> Sequence[choice_pb2.Choice]:
        """All choices, in the order of their index."""
        return self.proto.choices

    @property
    def usage(self) -> usage_pb2.Usage:
        """How many tokens the call took."""
        return self.proto.usage

    @property
    def id(self) -> str:
        """The name of this answer, made by the server."""
        return self.proto.id

    @property
    def model(self) -> str:
        """The id of the model that answered."""
        return self.proto.model
