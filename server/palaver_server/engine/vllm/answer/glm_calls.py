"""How GLM-4.5 is held to the names of the offered tools while it calls.

vLLM holds it to the layout of GLM-4.7, which has no line breaks. GLM-4.5 breaks the line after a tool's name; kept from
that it closes the call at once, without arguments.
"""

from __future__ import annotations

import json
from typing import Any

from vllm.parser.glm47_moe import THINK_END, THINK_START, TOOL_CALL_END, TOOL_CALL_START

from palaver_server.core.generation import GenerationRequest
from palaver_server.core.tools import NamedTool, ToolChoiceMode

_MARKS = [THINK_START, THINK_END, TOOL_CALL_START, TOOL_CALL_END]


def structural_tag(request: GenerationRequest) -> str | None:
    """Make the structural tag of a request with tools, as JSON text; None where nothing is to be held to."""
    choice = request.tool_choice or ToolChoiceMode.AUTO
    if not request.tools or choice is ToolChoiceMode.NONE:
        return None
    names = [choice.name] if isinstance(choice, NamedTool) else [tool.name for tool in request.tools]
    is_single = isinstance(choice, NamedTool) or not request.is_parallel_calling
    tags = [_tag(name) for name in names]
    if choice is ToolChoiceMode.AUTO:
        form: dict[str, Any] = {
            "type": "triggered_tags",
            "triggers": [TOOL_CALL_START],
            "tags": tags,
            "at_least_one": False,
            "stop_after_first": is_single,
            "excludes": [THINK_START, THINK_END, TOOL_CALL_END],
        }
    else:
        calls = {
            "type": "tags_with_separator",
            "tags": tags,
            "separator": "\n",
            "at_least_one": True,
            "stop_after_first": is_single,
        }
        form = {"type": "sequence", "elements": [{"type": "regex", "pattern": "\\n?"}, calls]}
    return json.dumps({"type": "structural_tag", "format": form})


def _tag(name: str) -> dict[str, Any]:
    """A call of one tool. Its arguments are the model's own; whether they fit is told with the call."""
    return {
        "type": "tag",
        "begin": f"{TOOL_CALL_START}{name}\n",
        "content": {"type": "any_text", "excludes": _MARKS},
        "end": TOOL_CALL_END,
    }
