"""What comes out of a measurement."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles

from pydantic import BaseModel


class Spread(BaseModel):
    """Milliseconds, spread over many events."""

    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        """Sum times up; of none at all nothing can be said, and that is zero."""
        if len(seconds) < 2:  # quantiles need two
            only = round(1e3 * sum(seconds), 3)
            return cls(p50=only, p99=only, max=only)
        return cls(
            p50=round(1e3 * median(seconds), 3),
            p99=round(1e3 * quantiles(seconds, n=100, method="inclusive")[98], 3),
            max=round(1e3 * max(seconds), 3),
        )


class Measured(BaseModel):
    """One cell."""

    load: str
    """Its label."""
    answers: int
    answers_per_second: float
    """While all streams were asking: without the end, when fewer and fewer are left."""
    prompt_tokens: float
    """Of one prompt, on average."""
    output_tokens: int
    """Of all answers, as the engine counts them."""
    chunks: int
    seconds: float
    tokens_per_second: float
    front_end_us_per_token: float
    """CPU time of what stands in front of the engine, in microseconds for each output token."""
    engine_us_per_token: float
    """CPU time of the engine's own processes, the same way."""
    client_us_per_token: float
    """CPU time of the load client, or of what stands in for it, the same way."""
    client_share: float
    """Of one core. A client near 1 would be the bottleneck, and the figures would be its own."""
    front_end_mib: float
    """Memory of what stands in front of the engine, at the cell's end: what no other process shares with it, and its
    part of what others do (``Pss`` of /proc/PID/smaps_rollup)."""
    engine_mib: float
    """Memory of the engine's own processes, the same way."""
    answer_ms: Spread
    """From sending the request to the last piece of text."""
    ttft_ms: Spread
    """From sending the request to the first piece of text. A caller who arrives at random has sent it as he arrives."""
    gap_ms: Spread
    """Between two pieces of text of one stream."""
    longest_gap_ms: float
    """The longest gap of a typical answer: the median over the answers."""


class Visit(BaseModel):
    """One peer's turn in one round, with an engine of its own."""

    round: int
    place: int
    """In the round, from 1."""
    peer: str
    start_seconds: float
    """From starting the process to the end of a first answer."""
    cells: list[Measured]
