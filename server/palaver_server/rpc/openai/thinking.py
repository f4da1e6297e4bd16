"""How the model thinks: OpenAI's effort, vLLM's budget, and the switches in a chat template's arguments."""

from __future__ import annotations

from typing import Any

from palaver.v1 import chat_service_pb2, reasoning_options_pb2
from palaver_server.core.errors import invalid_field
from palaver_server.core.strict_json import to_json
from palaver_server.rpc.openai.body import Body

SWITCHES = ("enable_thinking", "thinking")
"""By these arguments of their chat templates vLLM's callers switch thinking: the contract has a field for it."""
_EFFORTS = {
    "minimal": reasoning_options_pb2.REASONING_EFFORT_MINIMAL,
    "low": reasoning_options_pb2.REASONING_EFFORT_LOW,
    "medium": reasoning_options_pb2.REASONING_EFFORT_MEDIUM,
    "high": reasoning_options_pb2.REASONING_EFFORT_HIGH,
    "xhigh": reasoning_options_pb2.REASONING_EFFORT_XHIGH,
    "max": reasoning_options_pb2.REASONING_EFFORT_MAX,
}


def set_reasoning(chat: chat_service_pb2.ChatRequest, body: Body) -> None:
    """Say in the contract's words how the model thinks.

    Raises:
        PalaverError: thinking is switched on and off at once.
    """
    for name, value in _arguments(body).items():
        if _is_switch(name, value):
            if chat.reasoning.HasField("enabled") and chat.reasoning.enabled is not value:
                raise invalid_field("chat_template_kwargs", f"has {' and '.join(SWITCHES)}, which differ; send one")
            chat.reasoning.enabled = value
    if body.reasoning_effort == "none":
        if chat.reasoning.enabled:
            raise invalid_field("reasoning_effort", "is none while chat_template_kwargs switches thinking on")
        chat.reasoning.enabled = False
    elif body.reasoning_effort is not None:
        chat.reasoning.effort = _EFFORTS[body.reasoning_effort]
    if body.thinking_token_budget is not None and body.thinking_token_budget != -1:  # -1: no bound, at vLLM
        chat.reasoning.budget_tokens = body.thinking_token_budget
    if body.include_reasoning is False:
        chat.reasoning.include_reasoning = False


def template_arguments(body: Body) -> str:
    """The other arguments of the chat template, as the text of a JSON object; empty for none."""
    arguments = {name: value for name, value in _arguments(body).items() if not _is_switch(name, value)}
    return to_json(arguments) if arguments else ""


def _arguments(body: Body) -> dict[str, Any]:
    return body.chat_template_kwargs or {}


def _is_switch(name: str, value: object) -> bool:
    return name in SWITCHES and isinstance(value, bool)
