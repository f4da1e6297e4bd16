"""GLM-4.5's and GLM-4.7's format, read without the faults of vLLM's own composition of its parsers.

vLLM reads an answer as thoughts until they end, unless thinking is switched off, and then as no thoughts whatever the
model writes. But the model itself marks where its thoughts begin, or the prompt does. So this parser starts within
thoughts where the prompt has opened them, and otherwise as speech, in which thoughts may be opened. And it reports
calls of tools that were not offered, which vLLM drops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vllm.entrypoints.generate.base.protocol import DeltaMessage
from vllm.parser.engine.parser_engine_config import ParserState
from vllm.parser.glm47_moe import (
    THINK_END,
    THINK_START,
    TOOL_CALL_START,
    Glm47MoeParser,
    glm47_moe_config,
)
from vllm.tokenizers import TokenizerLike

NAMES = frozenset({"glm45", "glm47"})
"""vLLM's names of this format."""
_CONFIG = replace(glm47_moe_config(thinking=True), validate_tool_names=False)


class GlmParser(Glm47MoeParser):
    """Reads one choice."""

    def __init__(self, tokenizer: TokenizerLike, tools: list[Any] | None, prompt_token_ids: Sequence[int]) -> None:
        super().__init__(tokenizer, tools, parser_engine_config=_CONFIG)
        vocabulary = tokenizer.get_vocab()
        self._start, self._end = vocabulary.get(THINK_START), vocabulary.get(THINK_END)
        self._ends_thoughts = {self._end, vocabulary.get(TOOL_CALL_START)}
        self._special_ids = frozenset(tokenizer.all_special_ids)
        self._is_within_thoughts = opens_thoughts(tokenizer, prompt_token_ids)
        self._thought_count = 0
        self.initialize_streaming(ParserState.REASONING if self._is_within_thoughts else ParserState.CONTENT)

    def parse_delta(self, delta_text: str, delta_token_ids: list[int], *rest: Any, **named: Any) -> DeltaMessage | None:
        """Count the thoughts, and read."""
        self._count(delta_token_ids)
        # vLLM holds white space before the first word, and loses it where that word comes with a call in one piece.
        # Whoever reads this parser trims text anyway, so nothing is to be held here.
        self._content_has_nonws = True
        return super().parse_delta(delta_text, delta_token_ids, *rest, **named)

    def count_reasoning_tokens(self, token_ids: Sequence[int]) -> int:
        """Count those that were read here."""
        return self._thought_count

    def _count(self, token_ids: Sequence[int]) -> None:
        """Count by the marks; vLLM's own count depends on how the text was cut into pieces."""
        for token_id in token_ids:
            if token_id == self._start:
                self._is_within_thoughts = True
            elif token_id in self._ends_thoughts:
                self._is_within_thoughts = False
            elif self._is_within_thoughts and token_id not in self._special_ids:
                self._thought_count += 1


def opens_thoughts(tokenizer: TokenizerLike, prompt_token_ids: Sequence[int]) -> bool:
    """Whether a prompt ends within thoughts: its last mark of them opens some."""
    vocabulary = tokenizer.get_vocab()
    backwards = prompt_token_ids[::-1]  # and searched as a whole: prompts are long
    start, end = (
        backwards.index(mark) if mark in backwards else len(backwards)
        for mark in (vocabulary.get(THINK_START), vocabulary.get(THINK_END))
    )
    return start < end
