"""Forms for a model that thinks or does not, as it likes.

vLLM lets a form count from the end of the thoughts on. A model that may think and answers at once has no such end, and
its answer would be free. So where thoughts may come, they are a part of the form that may be left out.
"""

from __future__ import annotations

from typing import Any

from vllm.parser.glm47_moe import THINK_END, THINK_START, TOOL_CALL_END, TOOL_CALL_START

_LINE_BREAK = {"type": "regex", "pattern": "\\n?"}
"""GLM breaks the line before its thoughts and after them."""
_THOUGHTS = {
    "type": "tag",
    "begin": THINK_START,
    "content": {"type": "any_text", "excludes": [THINK_START, THINK_END, TOOL_CALL_START, TOOL_CALL_END]},
    "end": THINK_END,
}


def after_thoughts(form: dict[str, Any]) -> dict[str, Any]:
    """The format of a structural tag in which thoughts may come before a form."""
    thoughts = {"type": "optional", "content": {"type": "sequence", "elements": [_THOUGHTS, _LINE_BREAK]}}
    return {"type": "sequence", "elements": [_LINE_BREAK, thoughts, form]}
