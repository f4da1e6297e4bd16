"""The stage between vLLM's outputs and our deltas: one for each choice that is being written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from palaver_server.core.events import Delta
from palaver_server.core.logprobs import TokenLogprob
from palaver_server.engine.vllm.answer.collector import Output


class Stage(Protocol):
    """What a choice's outputs go through."""

    @property
    def token_count(self) -> int:
        """Tokens of the choice so far, those that show as no text included."""

    @property
    def reasoning_token_count(self) -> int:
        """Of these, those that are thoughts."""

    @property
    def has_calls(self) -> bool:
        """Whether the model has called a tool."""

    def feed(self, completion: Output) -> Delta | None:
        """Turn an output into a delta; None while it shows as nothing."""


ConvertLogprobs = Callable[[Output], tuple[TokenLogprob, ...]]


class DeltaStage:
    """Passes new text on as it is.

    Whatever reads more out of a model's text than text, such as tool calls and reasoning, takes this place: it is fed
    every output of one choice, in order.

    Args:
        choice_index: the choice's place.
        convert_logprobs: makes log probabilities of an output; None where nobody asked for them.
        has_token_ids: whether the deltas carry their tokens' ids.
    """

    def __init__(
        self, choice_index: int = 0, convert_logprobs: ConvertLogprobs | None = None, *, has_token_ids: bool = False
    ) -> None:
        self._choice_index = choice_index
        self._convert_logprobs = convert_logprobs
        self._has_token_ids = has_token_ids
        self._is_plain = convert_logprobs is None and not has_token_ids
        self._held_token_count = 0
        self.has_calls = False
        """Plain text calls nothing."""
        self.reasoning_token_count = 0
        """Plain text has no thoughts."""
        self.token_count = 0
        """Tokens of the choice so far, those that show as no text included."""

    def feed(self, completion: Output) -> Delta | None:
        """Turn an output into a delta; None while it shows as nothing.

        A token may be a part of a character, or of what may become a stop sequence: vLLM keeps such text back, and its
        token counts with the text that shows at last.
        """
        token_ids = completion.token_ids
        self.token_count += len(token_ids)
        self._held_token_count += len(token_ids)
        if self._is_plain:
            if not completion.text:
                return None
            delta = Delta(completion.text, self._held_token_count, self._choice_index)
        else:
            # Each token is told, also one without text.
            if not completion.text and not token_ids:
                return None
            delta = self._detailed(completion, token_ids)
        self._held_token_count = 0
        return delta

    def _detailed(self, completion: Output, token_ids: Sequence[int]) -> Delta:
        return Delta(
            completion.text,
            self._held_token_count,
            self._choice_index,
            logprobs=self._convert_logprobs(completion) if self._convert_logprobs is not None else (),
            token_ids=tuple(token_ids) if self._has_token_ids else (),
        )
