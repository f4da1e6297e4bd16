"""What one request's answer is held to, its calls of tools included."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from vllm.sampling_params import StructuredOutputsParams

from palaver_server.core.errors import PalaverError, invalid_field
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.tools import NamedTool, Tool, ToolChoiceMode
from palaver_server.engine.vllm.answer.parsers import Parsers
from palaver_server.engine.vllm.grammar import glm_calls
from palaver_server.engine.vllm.grammar.form import Form, Kind
from palaver_server.engine.vllm.grammar.gate import Gate
from palaver_server.engine.vllm.grammar.listed_calls import list_schema
from palaver_server.engine.vllm.grammar.response import Asked, asked_form, bounded, tag_form, tag_format
from palaver_server.engine.vllm.grammar.sound import sound_form
from palaver_server.engine.vllm.grammar.thoughts import after_thoughts
from palaver_server.engine.vllm.prompt.chat_request import VllmChatRequest

BACKEND = "xgrammar"
"""The only one: an engine keeps the backend of its first request, so vLLM's choice for each request is none."""


class Forms:
    """Finds the form of each answer for one model, and has it checked.

    Args:
        parsers: of the model's format.
        gate: lets pass what can be afforded.
        any_whitespace: whether the engine allows white space of any kind between the parts of JSON.
    """

    def __init__(self, parsers: Parsers, gate: Gate, *, any_whitespace: bool) -> None:
        self._parsers = parsers
        self._gate = gate
        self._any_whitespace = any_whitespace

    async def params(
        self, request: GenerationRequest, chat: VllmChatRequest, *, may_think: bool = False
    ) -> StructuredOutputsParams | None:
        """What vLLM is told; None where the answer is free.

        Args:
            request: what is asked.
            chat: the same in vLLM's words, adjusted to its tools by vLLM's parser.
            may_think: whether the model may begin with thoughts, which the form then has to allow.

        Raises:
            PalaverError: the form is wrong or too costly, or cannot be had with these tools.
        """
        response = asked_form(request.response_format) if request.response_format is not None else None
        # One after the other: the first fault that is found is told.
        for schema in self._tool_schemas(request, chat):
            await self._admit(request, schema)
        if response is not None:
            await self._admit(request, response)
        asked = self._combined(request, chat, response)
        if asked is None:
            return None
        if may_think:
            asked = Asked(tag_form(after_thoughts(self._part(asked, request))), asked.field)
        await self._admit(request, asked)
        return self._vllm_params(asked.form)

    async def _admit(self, request: GenerationRequest, asked: Asked) -> None:
        await self._gate.admit(sound_form(asked.form), f"{request.field_prefix}{asked.field}", request.client.id)

    def _tool_schemas(self, request: GenerationRequest, chat: VllmChatRequest) -> list[Asked]:
        """The schemas that are part of the form, each by itself: what is wrong with one is told with its name."""
        if not request.tools or request.tool_choice is ToolChoiceMode.NONE:
            return []
        holds_all = chat.structured_outputs is not None and chat.structured_outputs.json is not None
        return [
            Asked(Form(Kind.JSON, tool.parameters_json_schema), f"tools[{place}].parameters_json_schema")
            for place, tool in enumerate(request.tools)
            if (tool.is_strict or holds_all) and tool.parameters_json_schema
        ]

    def _combined(self, request: GenerationRequest, chat: VllmChatRequest, response: Asked | None) -> Asked | None:
        choice = request.tool_choice or ToolChoiceMode.AUTO
        if not request.tools or choice is ToolChoiceMode.NONE:
            return response
        if choice is not ToolChoiceMode.AUTO or response is None:
            calls = self._calls(request, chat)
            if calls is None:
                _refuse_free_calls(request)
                return None
            return Asked(calls, "tools")
        return Asked(self._calls_or(response, request, chat), response.field)

    def _calls(self, request: GenerationRequest, chat: VllmChatRequest) -> Form | None:
        """The form of calls, and of free text where the model may leave them out."""
        if self._parsers.breaks_lines_in_calls:
            return tag_form(glm_calls.structural_tag(request, request.tool_choice or ToolChoiceMode.AUTO))
        outputs = chat.structured_outputs
        if outputs is None:
            return None
        if outputs.structural_tag is not None:
            return tag_form(bounded(json.loads(outputs.structural_tag)["format"]))
        if request.tool_choice is ToolChoiceMode.REQUIRED:
            return Form(Kind.JSON, json.dumps(list_schema(request)))
        schema = outputs.json if isinstance(outputs.json, str) else json.dumps(outputs.json)
        return Form(Kind.JSON, schema)

    def _calls_or(self, response: Asked, request: GenerationRequest, chat: VllmChatRequest) -> Form:
        """The form of an answer that either calls or has the form that was asked for."""
        calls = (
            glm_calls.structural_tag(request, ToolChoiceMode.REQUIRED)
            if self._parsers.breaks_lines_in_calls
            else self._parsers.required_calls(chat)
        )
        if calls is None:
            raise invalid_field(
                f"{request.field_prefix}response_format",
                "cannot be had with tools that the model may call or not: the calls of this model have no grammar; "
                "say by tool_choice which of the two is wanted",
            )
        return tag_form(bounded(calls), self._part(response, request))

    def _part(self, asked: Asked, request: GenerationRequest) -> dict[str, Any]:
        """A form as part of a larger one."""
        if (part := tag_format(asked.form)) is None:
            raise invalid_field(
                f"{request.field_prefix}{asked.field}",
                "must be in the present dialect (rules such as name ::= ..., a tag's format) where the model may think "
                "or call tools before",
            )
        return part

    def _vllm_params(self, form: Form) -> StructuredOutputsParams:
        """Say a form in vLLM's words; it has been compiled, so vLLM need not look at it."""
        if form.kind is Kind.JSON and self._any_whitespace:
            # The same, with the limit on white space that vLLM's own words for a schema lack.
            form = tag_form(tag_format(form) or {})
        form = sound_form(form)
        kind = {Kind.JSON: "json", Kind.REGEX: "regex", Kind.TAG: "structural_tag"}.get(form.kind, "grammar")
        said: dict[str, Any] = {kind: form.text}
        params = StructuredOutputsParams(**said)
        params._backend = BACKEND  # noqa: SLF001  # what vLLM's own check would set
        return params


def _refuse_free_calls(request: GenerationRequest) -> None:
    """See that nothing is demanded of calls that nothing holds the model to.

    Raises:
        PalaverError: a call is, or that arguments fit a schema.
    """
    if request.tool_choice not in (None, ToolChoiceMode.AUTO):
        raise invalid_field(
            f"{request.field_prefix}tool_choice", "the model cannot be made to call; leave it the choice"
        )
    for place, tool in enumerate(request.tools):
        if tool.is_strict:
            raise invalid_field(
                f"{request.field_prefix}tools[{place}].strict",
                "cannot be true: this server does not hold calls to their schemas; leave it unset",
            )


def refuse_strictness(tools: Sequence[Tool], parsers: Parsers, request: GenerationRequest) -> PalaverError | None:
    """Tell that a model cannot be held to the schemas of its tools."""
    must_call = isinstance(request.tool_choice, NamedTool) or request.tool_choice is ToolChoiceMode.REQUIRED
    if parsers.can_hold_calls or must_call:
        return None
    for place, tool in enumerate(tools):
        if tool.is_strict:
            return invalid_field(
                f"{request.field_prefix}tools[{place}].strict",
                "cannot be true: the calls of this model have no grammar that they could be held to; leave it unset",
            )
    return None
