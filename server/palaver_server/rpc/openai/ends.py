"""Why a choice ended, in OpenAI's and vLLM's words."""

from __future__ import annotations

from palaver_server.core.events import ChoiceEnd, FinishReason
from palaver_server.core.tools import NamedTool, ToolChoice

_WORDS = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.TIME_LIMIT: "length",  # the nearest that clients know: cut off, and not by the model
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.REPETITION: "repetition",  # vLLM's word; OpenAI has no such end
}


def finish_reason(end: ChoiceEnd, tool_choice: ToolChoice | None) -> str:
    """The ``finish_reason``. Who named the one tool to call gets ``stop`` when it was called, as at OpenAI."""
    if end.finish_reason is FinishReason.TOOL_CALLS and isinstance(tool_choice, NamedTool):
        return "stop"
    return _WORDS[end.finish_reason]


def stop_reason(end: ChoiceEnd) -> str | int | None:
    """The ``stop_reason`` of vLLM: the stop sequence, or the id of the stop token, that ended the choice."""
    return end.stop_token_id if end.stop_sequence is None else end.stop_sequence
