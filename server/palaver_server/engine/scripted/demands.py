"""Whether what the script says is what the request demands: a form of the answer, a call of a tool.

A model can be held to both while it writes. The scripted engine says what it is told; where that is not what was asked
for, the request is refused, so that nobody mistakes its answer for one that was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import regex

from palaver_server.core.errors import PalaverError, Reason, invalid_field
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.response_format import (
    ChoiceFormat,
    JsonObjectFormat,
    JsonSchemaFormat,
    RegexFormat,
    ResponseFormat,
)
from palaver_server.core.tools import NamedTool, ToolCallState, ToolChoiceMode
from palaver_server.engine.json_schema import misfit, schema_problem
from palaver_server.engine.scripted.script import Turn, Utterance
from palaver_server.engine.tool_judge import ToolJudge, check_tools

PATTERN_SECONDS = 0.5
"""For an answer to match a caller's regular expression."""
_ADVICE = "the scripted engine says what the last user message, or --scripted-answer, tells it"


def check_demands(request: GenerationRequest, turn: Turn, judge: ToolJudge) -> None:
    """See that each choice does what is demanded. Takes long for large schemas: it belongs into a thread.

    Raises:
        PalaverError: a tool, a form or the script is at fault; the field is named.
    """
    prefix, form = request.field_prefix, request.response_format
    check_tools(request.tools, prefix)
    if form is not None:
        _check_form(form, f"{prefix}response_format")
    for said in turn[: request.options.choice_count or 1]:
        _check_calls(request, said, judge)
        if form is not None and not said.calls and not said.is_cut and (problem := _misfit(said.text, form)):
            raise _unfit(f"{prefix}response_format", f"the answer would not have this form ({problem}); {_ADVICE}")


def _check_calls(request: GenerationRequest, said: Utterance, judge: ToolJudge) -> None:
    choice, prefix = request.tool_choice, request.field_prefix
    calls = said.calls[: request.max_calls]
    if choice is ToolChoiceMode.REQUIRED and not calls:
        raise _unfit(f"{prefix}tool_choice", f"the answer would call no tool; {_ADVICE}: /call NAME ARGUMENTS")
    if isinstance(choice, NamedTool) and (not calls or any(call.name != choice.name for call in calls)):
        raise _unfit(
            f"{prefix}tool_choice",
            f"the answer would not call that tool alone; {_ADVICE}: /call {choice.name} ARGUMENTS",
        )
    strict = {tool.name: place for place, tool in enumerate(request.tools) if tool.is_strict}
    for call in calls:
        if call.name in strict and not said.is_cut:
            state, problem = judge.judge(call.name, call.arguments, is_cut_off=False)
            if state is not ToolCallState.COMPLETE:
                raise _unfit(
                    f"{prefix}tools[{strict[call.name]}].strict", f"the call would not fit ({problem}); {_ADVICE}"
                )


def _check_form(form: ResponseFormat, field: str) -> None:
    """See that the form itself is one."""
    match form:
        case JsonSchemaFormat(json_schema):
            if problem := schema_problem(json_schema, of_object=False):
                raise invalid_field(f"{field}.json_schema.json_schema", problem)
        case RegexFormat(pattern):
            try:
                regex.compile(pattern)
            except regex.error as error:
                raise invalid_field(f"{field}.regex", f"is no regular expression: {error}") from None
        case JsonObjectFormat() | ChoiceFormat():
            pass
        case _:
            raise _unfit(field, "the scripted engine cannot compile a form of this kind; leave it unset")


def _misfit(text: str | None, form: ResponseFormat) -> str:
    if text is None:
        return "its words have no meaning"
    match form:
        case ChoiceFormat(values):
            return "" if text in values else "it is none of the values"
        case RegexFormat(pattern):
            return _mismatch(pattern, text)
        case _:
            return next(_json_misfits(text, form), "")


def _json_misfits(text: str, form: ResponseFormat) -> Iterator[str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        yield "it is no JSON"
        return
    if isinstance(form, JsonObjectFormat) and not isinstance(value, dict):
        yield "it is JSON, but no object"
    if isinstance(form, JsonSchemaFormat) and (problem := misfit(value, form.json_schema)):
        yield problem


def _mismatch(pattern: str, text: str) -> str:
    try:
        return "" if regex.fullmatch(pattern, text, timeout=PATTERN_SECONDS) else "it does not match"
    except TimeoutError:
        return "it takes too long to match"


def _unfit(field: str, sentence: str) -> PalaverError:
    return invalid_field(field, sentence, reason=Reason.FIELD_NOT_SUPPORTED)
