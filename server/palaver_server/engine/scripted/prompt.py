"""A request that the scripted engine has accepted, with all that it will say."""

from __future__ import annotations

from dataclasses import dataclass, field

from palaver_server.core.events import Started
from palaver_server.core.milestones import Milestones
from palaver_server.engine.scripted.script import Turn
from palaver_server.engine.tool_judge import ToolJudge


@dataclass(frozen=True, slots=True)
class ScriptedPrompt:
    """Checked, counted and ready to be answered."""

    started: Started
    """The answer's first event."""
    prompt_text: str
    """What the conversation was rendered to."""
    turn: Turn
    """What the choices say, in turn."""
    stop_sequences: tuple[str, ...]
    time_limit_seconds: float
    """Infinite where there is no limit."""
    is_streamed: bool
    choice_count: int = 1
    has_running_usage: bool = False
    min_tokens_per_delta: int = 1
    """First and last delta excepted."""
    has_thoughts: bool = True
    """Whether the answer carries the thoughts."""
    thought_budget: int | None = None
    """The most words of thought."""
    max_calls: int | None = None
    """How many calls of a choice are kept; None for all."""
    judge: ToolJudge = field(default_factory=lambda: ToolJudge(()))
    """Tells the state of calls."""
    milestones: Milestones = field(default_factory=Milestones)
    """The request's."""

    @property
    def prompt_token_count(self) -> int:
        """Words of the conversation, and what its layout costs."""
        return self.started.prompt_token_count

    @property
    def max_output_tokens(self) -> int:
        """The effective number, after defaults and clamping."""
        return self.started.max_output_tokens
