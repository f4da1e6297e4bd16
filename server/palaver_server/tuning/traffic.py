"""What is asked of the server while settings are tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Prompts and answers, and how many at once."""

    prompt_tokens: int
    """Typical; prompts have from half to one and a half of it, and no two are the same."""
    output_tokens: int
    """Most of an answer; a model that does not end by itself before then has as many."""
    streams: int
    """Callers that ask again as soon as they are answered. With a rate: calls that may be open at once."""
    ttft_bound: float
    """Seconds to the first token; tokens of answers that begin later do not count."""
    rate: float | None = None
    """Calls a second, at random times (Poisson); None for callers that wait for each other's end."""


TRAFFICS: Mapping[str, Traffic] = MappingProxyType(
    {
        "chat": Traffic(prompt_tokens=512, output_tokens=256, streams=32, ttft_bound=1.0),
        "long-context": Traffic(prompt_tokens=8192, output_tokens=256, streams=8, ttft_bound=10.0),
        "batch": Traffic(prompt_tokens=1024, output_tokens=512, streams=256, ttft_bound=120.0),
    }
)
"""By name. Chat: people wait for the first word. Long context: documents. Batch: nobody waits."""
