"""What an engine makes of a conversation before it answers, for callers who want to see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from palaver_server.core.context import ContextTruncation
from palaver_server.core.events import Started


@dataclass(frozen=True, slots=True)
class PromptCount:
    """The length of a prompt, whether it fits the context or not."""

    prompt_token_count: int
    max_output_tokens: int
    """What each choice could have, after defaults and clamping; 0 where the prompt leaves no room."""
    truncation: ContextTruncation | None = None
    """What would be left out to make it fit."""
    prompt_text: str = ""
    """Where the request asked for it."""
    prompt_token_ids: tuple[int, ...] = ()
    """Where the request asked for token ids."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that can be known of an answer before it is generated."""

    started: Started
    """What the answer would begin with, everything in it that a request can ask for included."""
    template_arguments: Mapping[str, object] = field(default_factory=dict)
    """What the chat template is given beside messages and tools."""
