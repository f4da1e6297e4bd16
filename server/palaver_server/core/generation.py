"""A request for an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from palaver_server.core.context import ContextPolicy
from palaver_server.core.conversation import Message
from palaver_server.core.identity.client import LOCAL, Client
from palaver_server.core.milestones import Milestones
from palaver_server.core.options import GenerationOptions
from palaver_server.core.reasoning import ReasoningOptions
from palaver_server.core.response_format import ResponseFormat
from palaver_server.core.tools import Tool, ToolChoice


@dataclass(frozen=True, slots=True)
class ResponseOptions:
    """What an answer carries beside the answer."""

    effective_options: bool = False
    """The options in force, defaults and clamping included."""
    token_ids: bool = False
    """The ids of the prompt's and the choices' tokens."""
    prompt_text: bool = False
    """What the chat template made of the conversation."""
    running_usage: bool = False
    """With every delta, the tokens counted so far."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A conversation to answer, already checked against the contract."""

    request_id: str
    model: str
    """The model that the caller named; empty for the default one."""
    messages: tuple[Message, ...]
    options: GenerationOptions
    is_streamed: bool
    """False where nobody reads before the end: the engine then makes one delta of each whole choice."""
    client: Client = LOCAL
    """Who asks: the bound of what one caller can learn of another, and the right to the model."""
    deadline: float | None = None
    """When the caller gives up, on the event loop's clock; None where it waits for ever."""
    field_prefix: str = ""
    """What stands before a field's path in the caller's own request: ``chat.`` for a streamed call."""
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    """None: the model decides where tools are offered."""
    is_parallel_calling: bool = True
    """Whether the model may call several tools in one turn; else only the first call is kept."""
    response_format: ResponseFormat | None = None
    """The form that the answer is held to; None for free text."""
    reasoning: ReasoningOptions = field(default_factory=ReasoningOptions)
    context_policy: ContextPolicy = field(default_factory=ContextPolicy)
    continues_final_message: bool = False
    """The last message, of the assistant, is continued rather than answered."""
    chat_template_arguments: Mapping[str, object] = field(default_factory=dict)
    """For what the chat template knows and no field of this request decides."""
    response_options: ResponseOptions = field(default_factory=ResponseOptions)
    min_tokens_per_delta: int | None = None
    """The fewest tokens that are gathered into one delta, first and last excepted; None: as they come."""
    user_id: str = ""
    """The caller's own name for its end user, for the log."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """The caller's own marks, for the log."""
    priority: int = 0
    """Lower runs first, where the engine schedules by priority."""
    milestones: Milestones = field(default_factory=Milestones, compare=False)
    """Filled in while the request is worked on; for metrics and traces."""

    @property
    def max_calls(self) -> int | None:
        """How many calls of a choice are kept; None for all."""
        return None if self.is_parallel_calling else 1
