"""Where palaver's answers are not vLLM's, on purpose: each difference, when it may be there, and why.

What is not explained here fails the suite, and so does an entry that explains nothing any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.engine.differential.cases import Case
from tests.engine.differential.views import View

BREAKS = "\r\n"
UNKNOWN_TOOL = "calls a tool that nobody offered"
NO_TOOLS = "calls a tool although none is offered"


@dataclass(frozen=True)
class Difference:
    """One kind of difference."""

    name: str
    reason: str
    explains: Callable[[Case, str, View, View], bool]
    """Whether it explains what differs in a field: the request, the field, palaver's answer, vLLM's."""
    example: str
    """How the names of cases begin of which one at least shows it."""


def _breaks(_case: Case, field: str, ours: View, theirs: View) -> bool:
    if field not in ("text", "reasoning"):
        return False
    pairs = zip(ours.choices, theirs.choices, strict=True)
    for our, their in pairs:
        said, told = getattr(our, field), getattr(their, field)
        if field == "text" and (our.calls or their.calls):
            said, told = "".join(said.split()), "".join(told.split())
        if said != told.lstrip(BREAKS):
            return False
    return True


def _marks(choice: Any) -> str:
    """All that a choice says, without the marks of thoughts and without line breaks."""
    whole = choice.reasoning + choice.text
    for mark in ("<think>", "</think>"):
        whole = whole.replace(mark, "")
    return whole.replace("\n", "")


def _other_side(_case: Case, field: str, ours: View, theirs: View) -> bool:
    """The same words, on the other side of the line between thoughts and speech."""
    return field in ("text", "reasoning") and [_marks(one) for one in ours.choices] == [
        _marks(one) for one in theirs.choices
    ]


def _unknown_tool(case: Case, _field: str, _ours: View, _theirs: View) -> bool:
    return case.name.startswith(UNKNOWN_TOOL)


def _no_tools(case: Case, _field: str, _ours: View, _theirs: View) -> bool:
    return case.name.startswith(NO_TOOLS)


def _forbidden_call(case: Case, field: str, _ours: View, theirs: View) -> bool:
    is_dropped = not any(their.calls for their in theirs.choices)
    return case.body.get("tool_choice") == "none" and field in ("calls", "finish_reason") and is_dropped


def _cut_call(_case: Case, field: str, ours: View, theirs: View) -> bool:
    return field in ("calls", "finish_reason") and any(
        our.finish_reason == "length" and (our.calls or their.calls)
        for our, their in zip(ours.choices, theirs.choices, strict=True)
    )


def _other_layout(case: Case, _field: str, _ours: View, _theirs: View) -> bool:
    return case.body.get("parallel_tool_calls") is False


def _typed_switch(case: Case, _field: str, _ours: View, _theirs: View) -> bool:
    last = case.body["messages"][-1]["content"]
    return "chat_template_kwargs" not in case.body and isinstance(last, str) and last.endswith("/nothink")


DIFFERENCES = (
    Difference(
        "line breaks of the layout",
        "GLM writes a line break after each mark; vLLM leaves those before thoughts, before speech and between calls "
        "in what it tells, and in a stream others than in one piece",
        _breaks,
        "greets straight",
    ),
    Difference(
        "a call of a tool that nobody offered",
        "palaver holds a model that calls to the tools that were offered, so it calls another one. vLLM does so too, "
        "but in the layout of GLM-4.7, so that is switched off here; then it drops the call, and the answer is empty",
        _unknown_tool,
        UNKNOWN_TOOL,
    ),
    Difference(
        "a call where no tool was offered",
        "palaver tells it, as a call of an unknown tool; vLLM drops it, and says nothing more",
        _no_tools,
        NO_TOOLS,
    ),
    Difference(
        "a call where the request allows none",
        "palaver tells it, as one that must not be run; vLLM drops it, and says nothing more",
        _forbidden_call,
        "What is the weather in Paris? tool_choice none",
    ),
    Difference(
        "a call that was cut off",
        "vLLM tells {} in one piece and broken JSON in a stream; palaver what was written, with the state cut_off",
        _cut_call,
        "a call cut after",
    ),
    Difference(
        "thoughts and speech told apart by the model's own marks",
        "vLLM takes all for thoughts that comes before a mark, unless thinking is switched off, and then none for "
        "thoughts whatever the marks say; its stream and its answer in one piece differ in it",
        _other_side,
        "greets straight",
    ),
    Difference(
        "GLM-4.5 held to the layout of GLM-4.7",
        "to keep a model to one call vLLM holds it to a layout in which GLM-4.5 closes a call before its arguments; "
        "palaver holds it to its own",
        _other_layout,
        "two calls, one at a time",
    ),
    Difference(
        "/nothink that the user typed",
        "palaver takes GLM's own switch as what it is and puts empty thoughts into the prompt; vLLM leaves it to the "
        "model's goodwill",
        _typed_switch,
        "typed /nothink",
    ),
)
