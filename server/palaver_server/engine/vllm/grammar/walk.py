"""How long one token takes under a compiled form: found out by writing something that fits it."""

from __future__ import annotations

import random
import time

import torch
import xgrammar as xgr

STEPS = 48
"""Enough to reach the loops of a grammar; each step of a usual one takes a fraction of a millisecond."""
SEED = 20


def walk_problem(compiled: xgr.CompiledGrammar, limit_seconds: float) -> str:
    """Write random tokens that fit, and tell what would make a model stop, or others wait; empty where all is well.

    Args:
        compiled: the form.
        limit_seconds: processor time that one token may take.
    """
    matcher = xgr.GrammarMatcher(compiled)
    allowed = AllowedTokens(compiled.tokenizer_info.vocab_size)
    draw = random.Random(SEED)  # noqa: S311  # nothing secret
    for _ in range(STEPS):
        began = time.process_time()
        token_ids = allowed.now(matcher)
        if not len(token_ids):
            return "comes to where nothing can follow, so no answer could ever be complete"
        matcher.accept_token(int(token_ids[draw.randrange(len(token_ids))]))
        taken = time.process_time() - began
        if taken > limit_seconds:
            return (
                f"takes {taken:.2f} seconds for a single token, which would hold up every other answer; make it less "
                "ambiguous"
            )
        if matcher.is_terminated():
            break
    return ""


class AllowedTokens:
    """Reads what a matcher allows."""

    def __init__(self, vocabulary_size: int) -> None:
        self._size = vocabulary_size
        self._mask = xgr.allocate_token_bitmask(1, vocabulary_size)
        self._bits = torch.arange(32, dtype=torch.int32)

    def now(self, matcher: xgr.GrammarMatcher) -> torch.Tensor:
        """The ids that may come next."""
        matcher.fill_next_token_bitmask(self._mask)
        bits = (self._mask[0].unsqueeze(1) >> self._bits) & 1
        return bits.flatten()[: self._size].nonzero().flatten()
