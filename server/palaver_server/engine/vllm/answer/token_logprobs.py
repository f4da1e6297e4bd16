"""vLLM's log probabilities in the domain's words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from vllm.logprobs import Logprob
from vllm.tokenizers import TokenizerLike

from palaver_server.core.logprobs import LogprobEntry, TokenLogprob
from palaver_server.core.options import GenerationOptions
from palaver_server.engine.vllm.answer.token_bytes import token_bytes

LOWEST = -9999.0
"""Stands for a probability of zero, whose logarithm JSON cannot say."""
_Position = Mapping[int, Logprob]


class TokenLogprobs:
    """Converts for one tokenizer."""

    def __init__(self, tokenizer: TokenizerLike) -> None:
        self._tokenizer = tokenizer
        self._bytes_of: Callable[[int], bytes] = token_bytes(tokenizer)

    def of_output(
        self, options: GenerationOptions, token_ids: Iterable[int], positions: Iterable[_Position | None]
    ) -> tuple[TokenLogprob, ...]:
        """Convert those of generated tokens."""
        # Where the caller names tokens, vLLM gives those and the chosen one, and all of them are told.
        top = None if options.logprob_token_ids else options.top_logprobs or 0
        return tuple(
            self._place(token_id, position or {}, top) for token_id, position in zip(token_ids, positions, strict=False)
        )

    def of_prompt(
        self, options: GenerationOptions, token_ids: Iterable[int], positions: Sequence[_Position | None]
    ) -> tuple[TokenLogprob, ...]:
        """Convert those of a prompt, whose first token has none."""
        top = options.prompt_top_logprobs or 0
        return tuple(
            self._place(token_id, position or {}, top) for token_id, position in zip(token_ids, positions, strict=False)
        )

    def _place(self, token_id: int, position: _Position, top: int | None) -> TokenLogprob:
        # vLLM puts the chosen token before the likeliest ones, whether it is one of them or not.
        others = [
            self._entry(other_id, logprob)
            for other_id, logprob in position.items()
            if top is None or (logprob.rank is not None and logprob.rank <= top)
        ]
        if top is not None:  # named tokens keep their order, after the chosen one
            others.sort(key=lambda entry: -(entry.logprob or 0.0))
        return TokenLogprob(self._entry(token_id, position.get(token_id)), tuple(others))

    def _entry(self, token_id: int, logprob: Logprob | None) -> LogprobEntry:
        text = logprob.decoded_token if logprob is not None else None
        return LogprobEntry(
            token=self._tokenizer.decode([token_id]) if text is None else text,
            raw_bytes=self._bytes_of(token_id),
            token_id=token_id,
            logprob=None if logprob is None else max(logprob.logprob, LOWEST),
            rank=None if logprob is None else logprob.rank,
        )
