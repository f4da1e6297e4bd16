"""Making a conversation fit the model's context, as its request or the operator says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from palaver_server.core.context import ContextOverflow, ContextTruncation, droppable_turns
from palaver_server.core.conversation import Message
from palaver_server.core.errors import FieldViolation, PalaverError, Reason, invalid_field
from palaver_server.core.generation import GenerationRequest

RenderedT = TypeVar("RenderedT")
Render = Callable[[tuple[Message, ...]], Awaitable[RenderedT]]


@dataclass(frozen=True, slots=True)
class Fitting(Generic[RenderedT]):
    """Fits prompts into one context.

    Args:
        context_length: prompt and answer together, in tokens.
        default: what happens to a prompt that is too long where its request does not say.
        count: counts the tokens of what was rendered.
        cut: leaves the first or the last so many tokens of it; None for an engine that cannot.
    """

    context_length: int
    default: ContextOverflow
    count: Callable[[RenderedT], int]
    cut: Callable[[RenderedT, ContextOverflow, int], RenderedT] | None = None

    async def fit(
        self, request: GenerationRequest, render: Render[RenderedT], *, is_counting: bool = False
    ) -> tuple[RenderedT, ContextTruncation | None]:
        """Render a conversation, or what of it fits.

        Args:
            request: the conversation, and what it says about its length.
            render: renders messages.
            is_counting: a prompt that would be refused is given back as it is, for somebody who wants to know its
                length.

        Raises:
            PalaverError: it does not fit, or what the request says about its length cannot be.
        """
        limit, overflow = self._limit(request), request.context_policy.overflow or self.default
        whole = await render(request.messages)
        total = self.count(whole)
        if total <= limit or (is_counting and overflow is ContextOverflow.REJECT):
            return whole, None
        match overflow:
            case ContextOverflow.DROP_OLDEST:
                kept, dropped = await self._without_oldest(request, render, limit)
                return kept, ContextTruncation(total - self.count(kept), dropped)
            case ContextOverflow.TRUNCATE_START | ContextOverflow.TRUNCATE_END if self.cut is not None:
                return self.cut(whole, overflow, limit), ContextTruncation(total - limit)
            case _:
                raise self._too_long(total, limit, request, "Send fewer or shorter messages.")

    def _limit(self, request: GenerationRequest) -> int:
        policy, field = request.context_policy, f"{request.field_prefix}context_policy"
        limit = self.context_length - (policy.reserved_output_tokens or 1)
        if limit < 1 and policy.reserved_output_tokens is not None:
            raise invalid_field(
                f"{field}.reserved_output_tokens", f"must be below {self.context_length}, the model's context length"
            )
        if policy.max_prompt_tokens is None:
            return limit
        if policy.max_prompt_tokens > limit:
            raise invalid_field(f"{field}.max_prompt_tokens", f"must be at most {limit}, for so much the context holds")
        return policy.max_prompt_tokens

    async def _without_oldest(
        self, request: GenerationRequest, render: Render[RenderedT], limit: int
    ) -> tuple[RenderedT, tuple[int, ...]]:
        """Leave out as few of the oldest turns as possible; a prompt is the shorter the fewer turns it has."""
        turns = droppable_turns(request.messages)

        async def without(count: int) -> tuple[RenderedT, tuple[int, ...]]:
            dropped = frozenset(place for turn in turns[:count] for place in turn)
            kept = tuple(message for place, message in enumerate(request.messages) if place not in dropped)
            return await render(kept), tuple(sorted(dropped))

        best = await without(len(turns))
        if (shortest := self.count(best[0])) > limit:
            raise self._too_long(
                shortest,
                limit,
                request,
                "That is its system messages and its last turn alone, which are never left out.",
            )
        too_few, enough = 0, len(turns)
        while enough - too_few > 1:
            middle = (too_few + enough) // 2
            attempt = await without(middle)
            if self.count(attempt[0]) <= limit:
                best, enough = attempt, middle
            else:
                too_few = middle
        return best

    def _too_long(self, tokens: int, limit: int, request: GenerationRequest, advice: str) -> PalaverError:
        # OpenAI's own words, by which its clients know this error from others and turn to a model with more room.
        said = (
            f"This model's maximum context length is {self.context_length} tokens, the answer included, and the "
            f"conversation has {tokens}."
            if limit == self.context_length - 1
            else f"The conversation has {tokens} tokens; at most {limit} are asked for by context_policy."
        )
        return PalaverError(
            Reason.PROMPT_TOO_LONG,
            f"{said} {advice}",
            violations=[FieldViolation(f"{request.field_prefix}messages", f"{tokens} tokens are too many")],
            metadata={"prompt_token_count": str(tokens), "context_length": str(self.context_length)},
        )
