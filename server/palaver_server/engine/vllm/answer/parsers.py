"""Which of vLLM's parsers read a model's answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from transformers import PretrainedConfig
from vllm.config import ModelConfig
from vllm.parser import Parser, ParserManager
from vllm.parser.engine.adapters import ParserEngineToolAdapter
from vllm.parser.engine.parser_engine import ParserEngine
from vllm.tokenizers import TokenizerLike

from palaver_server.core.tools import Tool
from palaver_server.engine.vllm.answer import glm_parser
from palaver_server.engine.vllm.answer.argument_types import readable
from palaver_server.engine.vllm.answer.marks import remember_marks
from palaver_server.engine.vllm.arguments import VllmArguments
from palaver_server.engine.vllm.prompt.chat_request import VllmChatRequest


@dataclass(frozen=True, slots=True)
class ParserNames:
    """vLLM's names of the parsers of a model's format; None where it has none."""

    tools: str | None = None
    reasoning: str | None = None
    strictness: str = "auto"
    """How far vLLM holds the model to its tool format while it calls (``--tool-strict-level``)."""


BY_MODEL_TYPE: Mapping[str, ParserNames] = {
    "glm4_moe": ParserNames("glm45", "glm45"),
    "qwen3": ParserNames("hermes", "qwen3"),
    "qwen3_moe": ParserNames("hermes", "qwen3"),
}
"""By ``model_type`` of a model's ``config.json``: what vLLM's documentation recommends for the family."""


def choose_parsers(model: str, arguments: VllmArguments) -> ParserNames:
    """Choose by vLLM's own arguments, and where they say nothing, by the model."""
    try:
        config, _ = PretrainedConfig.get_config_dict(model)
        own = BY_MODEL_TYPE.get(str(config.get("model_type")), ParserNames())
    except (OSError, ValueError):  # vLLM, which reads it next, says better what is wrong
        own = ParserNames()
    return ParserNames(
        arguments.tool_call_parser or own.tools,
        arguments.engine.reasoning_parser or own.reasoning,
        arguments.tool_strict_level,
    )


class Parsers:
    """Makes the parsers of one model, one for each choice."""

    def __init__(self, names: ParserNames, model: ModelConfig, tokenizer: TokenizerLike) -> None:
        remember_marks()
        self._model = model
        self._tokenizer = tokenizer
        self._is_glm = names.tools in glm_parser.NAMES and names.reasoning in glm_parser.NAMES
        self._class = ParserManager.get_parser(
            tool_parser_name=names.tools,
            reasoning_parser_name=names.reasoning,
            enable_auto_tools=names.tools is not None,
            model_name=model.model,
            is_harmony=model.hf_config.model_type == "gpt_oss",
            tool_strict_level=names.strictness,
            tokenizer=tokenizer,
        )
        self.reads_tools = names.tools is not None
        """Whether tool calls are understood."""
        self.reads_thoughts = names.reasoning is not None
        """Whether thoughts are told from speech."""
        self.breaks_lines_in_calls = names.tools == "glm45"
        """Whether calls have the layout of GLM-4.5 rather than that of GLM-4.7."""
        tools = self._class.tool_parser_cls if self._class is not None else None
        self.can_hold_calls = tools is not None and tools.structural_tag_model is not None
        """Whether calls have a grammar, so that a model can be held to the schemas of tools while it may speak too."""
        self.can_demand_one_tool = self.can_hold_calls or (tools is not None and tools.supports_required_and_named)
        """Whether the model can be made to call a tool that the request names."""
        # Without a grammar of calls they are demanded as a list in JSON, of which vLLM's newer parsers see a stream's
        # latest piece alone.
        self.can_demand_calls = self.can_hold_calls or (
            tools is not None and tools.supports_required_and_named and not tools.engine_based_streaming
        )
        """Whether the model can be made to call some tool or other."""
        # These read calls where none are allowed, too, and then drop them. The others leave them in the text.
        self._drops_forbidden_calls = tools is not None and tools.engine_based_streaming
        self.has_soft_switch = self._is_glm
        """Whether ``/nothink`` at the end of a user's message switches thinking off."""

    @property
    def reads_anything(self) -> bool:
        """Whether an answer is more than text."""
        return self._class is not None

    def to_read_by(self, chat: VllmChatRequest, tools: Sequence[Tool]) -> VllmChatRequest:
        """Give the request by which an answer is read: all that the model writes shall be told.

        Args:
            chat: by which the prompt was rendered.
            tools: those on offer.
        """
        if self._drops_forbidden_calls and chat.tools and chat.tool_choice == "none":
            chat = chat.model_copy(update={"tool_choice": "auto"})
        return readable(chat, tools)

    def new(self, chat: VllmChatRequest, prompt_token_ids: Sequence[int], template_arguments: dict[str, Any]) -> Parser:
        """Make the parser of one choice."""
        if self._is_glm:
            return glm_parser.GlmParser(self._tokenizer, chat.tools, prompt_token_ids)
        return self._composed(chat, template_arguments)

    def required_calls(self, chat: VllmChatRequest) -> dict[str, Any] | None:
        """The format, for a structural tag, of an answer that calls tools; None where calls have no grammar."""
        if not self.can_hold_calls:
            return None
        asking = chat.model_copy(update={"tool_choice": "required", "structured_outputs": None})
        outputs = self._composed(asking, {}).adjust_request(asking).structured_outputs
        if outputs is None or outputs.structural_tag is None:
            return None
        tag: dict[str, Any] = json.loads(outputs.structural_tag)
        found: dict[str, Any] = tag["format"]
        return found

    def may_open_thoughts(self, prompt_token_ids: Sequence[int], template_arguments: dict[str, Any]) -> bool:
        """Whether the model decides by itself whether it thinks: the prompt neither begins thoughts nor rules them out.

        Known of GLM alone; the others either always think or never do.
        """
        if not self._is_glm or template_arguments.get("enable_thinking") is False:
            return False
        return not glm_parser.opens_thoughts(self._tokenizer, prompt_token_ids)

    def hints(
        self, chat: VllmChatRequest, prompt_token_ids: Sequence[int], template_arguments: dict[str, Any]
    ) -> dict[str, Any]:
        """Give the arguments of ``AsyncLLM.generate`` about thoughts, which are not held to any form."""
        if not self.reads_thoughts:
            return {}
        if self.may_open_thoughts(prompt_token_ids, template_arguments):
            return {"reasoning_ended": True}  # the form begins with them, see ``grammar/thoughts.py``
        return {
            "reasoning_ended": self._composed(chat, template_arguments).is_reasoning_end(list(prompt_token_ids)),
            "reasoning_parser_kwargs": {"chat_template_kwargs": template_arguments},
        }

    def _composed(self, chat: VllmChatRequest, template_arguments: dict[str, Any]) -> Parser:
        """Make the parser that vLLM's own server would."""
        if self._class is None:
            raise TypeError("this model's answers are plain text")
        tools: list[Any] | None = chat.tools
        parser = self._class(self._tokenizer, tools, chat_template_kwargs=template_arguments, model_config=self._model)
        if isinstance(parser.tool_parser, ParserEngineToolAdapter):
            _tell_all_calls(parser.tool_parser._parser_engine)  # noqa: SLF001  # vLLM has no word for it
        return parser


def _tell_all_calls(engine: ParserEngine) -> None:
    """Have calls of tools that were not offered told: some parsers drop them, and what the model wrote is gone."""
    if engine.parser_engine_config.validate_tool_names:
        engine.parser_engine_config = replace(engine.parser_engine_config, validate_tool_names=False)
