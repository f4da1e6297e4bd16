"""How a model thinks before it speaks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class ReasoningEffort(StrEnum):
    """How much the model thinks. The values are the words that chat templates use."""

    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    XHIGH = "xhigh"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class ReasoningOptions:
    """What a request says about thinking. None leaves it to the model."""

    is_enabled: bool | None = None
    """Whether the model thinks."""
    effort: ReasoningEffort | None = None
    """For models whose chat template has such a setting."""
    budget_tokens: int | None = None
    """The most tokens of thought, from 0; then the thoughts are ended for the model and it speaks."""
    is_included: bool = True
    """Whether the answer carries the thoughts; they are counted either way."""
