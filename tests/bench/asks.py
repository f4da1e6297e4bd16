"""The questions of a cell, one after another and the same for every peer."""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import log

from tests.bench.plan import EXCHANGE, LONGEST_FACTOR, Ask, Cell

SPREAD = 0.6
"""Of the logarithm of mixed answers' lengths: the longest tenth is about five times as long as the shortest."""
SHORTEST_FACTOR = 0.125
EXCHANGES = (1, 2, 3, 4)
"""How often the exchange before the question is repeated in mixed prompts: the tiny model's have 64 to 226 tokens."""


class Asks:
    """Draws them.

    Args:
        cell: what is measured.
        serials: numbers that the engine has not seen, where its prefix cache must not help.
    """

    def __init__(self, cell: Cell, serials: Iterator[int]) -> None:
        self._cell = cell
        self._serials = serials
        self._random = random.Random(cell.seed)

    def next(self) -> Ask:
        """The next question."""
        ask = self._cell.ask
        conversation, tokens = ask.conversation, ask.max_output_tokens
        if self._cell.load.is_mixed:
            conversation = conversation[:EXCHANGE] * self._random.choice(EXCHANGES) + conversation[EXCHANGE:]
            # The mean of a log-normal distribution is above its median by half its variance.
            drawn = self._random.lognormvariate(log(tokens) - SPREAD**2 / 2, SPREAD)
            tokens = max(2, round(min(max(drawn, tokens * SHORTEST_FACTOR), tokens * LONGEST_FACTOR)))
        if self._cell.is_cold:
            (role, text), *rest = conversation
            conversation = ((role, f"{next(self._serials):06d}. {text}"), *rest)
        return ask.model_copy(update={"conversation": conversation, "max_output_tokens": tokens})
