"""A whole answer, put together from the deltas of its stream."""

from __future__ import annotations

from dataclasses import dataclass, field

from palaver_server.core.events import Delta
from palaver_server.core.logprobs import TokenLogprob
from palaver_server.core.tools import ToolCall, ToolCallDelta, ToolCallState


@dataclass(slots=True)
class _GrowingCall:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    state: ToolCallState | None = None
    problem: str = ""


class WholeChoice:
    """One choice so far."""

    def __init__(self) -> None:
        self.logprobs: list[TokenLogprob] = []
        self.token_ids: list[int] = []
        self._texts: list[str] = []
        self._reasonings: list[str] = []
        self._calls: dict[int, _GrowingCall] = {}

    @property
    def text(self) -> str:
        """What the model said."""
        return "".join(self._texts)

    @property
    def reasoning(self) -> str:
        """What the model thought."""
        return "".join(self._reasonings)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that the model asks for, in their order."""
        return tuple(
            ToolCall(call.id, call.name, "".join(call.arguments), call.state, call.problem)
            for _, call in sorted(self._calls.items())
        )

    def add(self, delta: Delta) -> None:
        """Append the choice's next delta."""
        self._texts.append(delta.text)
        self._reasonings.append(delta.reasoning)
        self.logprobs.extend(delta.logprobs)
        self.token_ids.extend(delta.token_ids)
        for piece in delta.tool_calls:
            self._add_call(piece)

    def _add_call(self, piece: ToolCallDelta) -> None:
        call = self._calls.setdefault(piece.index, _GrowingCall())
        call.id = call.id or piece.id
        call.name = call.name or piece.name
        call.arguments.append(piece.arguments_json)
        call.state = piece.state or call.state
        call.problem = piece.problem or call.problem


class WholeAnswer:
    """Every choice so far, by index. A choice that has said nothing reads as empty."""

    def __init__(self) -> None:
        self._choices: dict[int, WholeChoice] = {}

    def add(self, delta: Delta) -> None:
        """Append a delta to its choice."""
        self[delta.choice_index].add(delta)

    def __getitem__(self, index: int) -> WholeChoice:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = WholeChoice()
        return choice
