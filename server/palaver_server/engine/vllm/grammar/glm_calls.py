"""How GLM-4.5 is held to the names of the offered tools while it calls.

vLLM holds it to the layout of GLM-4.7, which has no line breaks. GLM-4.5 breaks the line after a tool's name; kept from
that it closes the call at once, without arguments.
"""

from __future__ import annotations

from typing import Any

from vllm.parser.glm47_moe import THINK_END, THINK_START, TOOL_CALL_END, TOOL_CALL_START

from palaver_server.core.generation import GenerationRequest
from palaver_server.core.tools import NamedTool, Tool, ToolChoice, ToolChoiceMode
from palaver_server.engine.tool_judge import parameters
from palaver_server.engine.vllm.grammar.form import MAX_WHITE_SPACE

_MARKS = [THINK_START, THINK_END, TOOL_CALL_START, TOOL_CALL_END]


def structural_tag(request: GenerationRequest, choice: ToolChoice) -> dict[str, Any]:
    """Make the format of a structural tag for a request with tools.

    Args:
        request: what is asked.
        choice: which tools, and whether at all.
    """
    is_named = isinstance(choice, NamedTool)
    offered = [tool for tool in request.tools if not is_named or tool.name == choice.name]
    is_single = is_named or not request.is_parallel_calling
    tags = [_tag(tool) for tool in offered]
    if choice is ToolChoiceMode.AUTO:
        return {
            "type": "triggered_tags",
            "triggers": [TOOL_CALL_START],
            "tags": tags,
            "at_least_one": False,
            "stop_after_first": is_single,
            "excludes": [THINK_START, THINK_END, TOOL_CALL_END],
        }
    calls = {
        "type": "tags_with_separator",
        "tags": tags,
        "separator": "\n",
        "at_least_one": True,
        "stop_after_first": is_single,
    }
    return {"type": "sequence", "elements": [{"type": "regex", "pattern": "\\n?"}, calls]}


def _tag(tool: Tool) -> dict[str, Any]:
    """A call of one tool.

    The arguments of one that is not strict are the model's own; whether they fit is told with the call. xgrammar's
    style of GLM allows white space wherever GLM-4.5 breaks a line.
    """
    content: dict[str, Any] = {"type": "any_text", "excludes": _MARKS}
    if tool.is_strict:
        content = {"type": "json_schema", "style": "glm_xml", "json_schema": parameters(tool)}
        content["max_whitespace_cnt"] = MAX_WHITE_SPACE
    return {"type": "tag", "begin": f"{TOOL_CALL_START}{tool.name}\n", "content": content, "end": TOOL_CALL_END}
