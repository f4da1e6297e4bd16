"""What a request says about thinking, in the arguments that chat templates know."""

from __future__ import annotations

from typing import Any

from palaver_server.core.conversation import Role
from palaver_server.core.errors import PalaverError, invalid_field
from palaver_server.core.generation import GenerationRequest

SOFT_SWITCH = "/nothink"
"""GLM's users type it to switch thinking off for one turn."""


class Thinking:
    """Knows what one model can do.

    Args:
        template: the chat template's text.
        can_think: whether the model's thoughts are told from its speech.
        has_soft_switch: whether the model's family has ``/nothink``.
        has_budget: whether the engine can end thoughts.
    """

    def __init__(self, template: str, *, can_think: bool, has_soft_switch: bool, has_budget: bool) -> None:
        self._can_think = can_think
        self._has_soft_switch = has_soft_switch
        self._has_budget = has_budget
        self._has_effort = "reasoning_effort" in template

    def template_arguments(self, request: GenerationRequest) -> dict[str, Any]:
        """Give the chat template's arguments, the caller's own included.

        Raises:
            PalaverError: the model cannot do what is asked of it.
        """
        asked, arguments = request.reasoning, dict(request.chat_template_arguments)
        wants = asked.is_enabled or asked.effort is not None or asked.budget_tokens is not None
        if wants and not self._can_think:
            raise self._refusal(request, "enabled", "this model does not think")
        if asked.effort is not None and not self._has_effort:
            raise self._refusal(request, "effort", "this model has no such setting; leave it unset")
        if asked.budget_tokens is not None and not self._has_budget:
            raise self._refusal(request, "budget_tokens", "this model's thoughts cannot be ended; leave it unset")
        is_on = asked.is_enabled if asked.is_enabled is not None else True if wants else None
        if is_on is None and self._has_soft_switch and _says_no(request):
            is_on = False
        if is_on is not None:
            # Families of models call it by different names; a template leaves alone what it does not know.
            arguments |= {"enable_thinking": is_on, "thinking": is_on}
        if asked.effort is not None:
            arguments["reasoning_effort"] = asked.effort.value
        return arguments

    def _refusal(self, request: GenerationRequest, field: str, sentence: str) -> PalaverError:
        return invalid_field(f"{request.field_prefix}reasoning.{field}", sentence)


def _says_no(request: GenerationRequest) -> bool:
    said = [message for message in request.messages if message.role is Role.USER]
    return bool(said) and said[-1].text.rstrip().endswith(SOFT_SWITCH)
