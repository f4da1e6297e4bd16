"""Families of tool calls that vLLM reads: how each writes a call, how one is demanded, and how its text is read.

No weights of these families are needed: forms are compiled for a vocabulary with their marks, and the text of a call is
what their models were taught to write.
"""

# ruff: noqa: RUF001  # the marks of DeepSeek have bars of full width

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from palaver_server.core.answer import WholeAnswer, WholeChoice
from palaver_server.core.tools import Tool, ToolChoice, ToolChoiceMode
from tests.engine.conftest import say
from tests.engine.outputs import outputs

if TYPE_CHECKING:  # vLLM takes seconds to import
    import xgrammar as xgr

    from palaver_server.engine.vllm.answer.parsers import Parsers
    from palaver_server.engine.vllm.grammar.gate import Gate
    from palaver_server.engine.vllm.prompt.chat_request import VllmChatRequest

Arguments = Mapping[str, str]
"""Each argument's value as JSON text."""
Layout = Callable[[str, Arguments], str]
"""Writes a call: the tool's name, and the arguments."""


def around_json(text: str) -> Layout:
    """A call whose arguments are JSON."""

    def written(name: str, arguments: Arguments) -> str:
        pairs = ", ".join(f'"{key}": {value}' for key, value in arguments.items())
        return text.replace("NAME", name).replace("ARGUMENTS", "{" + pairs + "}")

    return written


def between_marks(begin: str, argument: str, end: str, separator: str = "") -> Layout:
    """A call whose arguments each stand between marks, strings as they are."""

    def bare(value: str) -> str:
        return str(json.loads(value)) if value.startswith('"') else value

    def written(name: str, arguments: Arguments) -> str:
        each = (argument.replace("KEY", key).replace("VALUE", bare(value)) for key, value in arguments.items())
        return begin.replace("NAME", name) + separator.join(each) + end

    return written


def in_python(begin: str, end: str) -> Layout:
    """A call as Python has it."""

    def written(name: str, arguments: Arguments) -> str:
        return begin + f"{name}({', '.join(f'{key}={value}' for key, value in arguments.items())})" + end

    return written


HERMES = around_json('<tool_call>\n{"name": "NAME", "arguments": ARGUMENTS}\n</tool_call>')
QWEN_CODER = between_marks(
    "<tool_call>\n<function=NAME>\n",
    "<parameter=KEY>\nVALUE\n</parameter>",
    "\n</function>\n</tool_call>",
    separator="\n",
)
NATIVE: Mapping[str, Layout] = {
    "hermes": HERMES,
    "llama3_json": around_json('{"name": "NAME", "parameters": ARGUMENTS}'),
    "deepseek_v3": around_json(
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\nARGUMENTS\n```"
        "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    ),
    "deepseek_v31": around_json(
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>NAME<｜tool▁sep｜>ARGUMENTS<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    ),
    "kimi_k2": around_json(
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.NAME:0<|tool_call_argument_begin|>ARGUMENTS"
        "<|tool_call_end|><|tool_calls_section_end|>"
    ),
    "longcat": around_json('<longcat_tool_call>\n{"name": "NAME", "arguments": ARGUMENTS}\n</longcat_tool_call>'),
    "qwen3_coder": QWEN_CODER,
    "qwen3_xml": QWEN_CODER,
    "step3p5": QWEN_CODER,
    "minimax_m2": between_marks(
        '<minimax:tool_call>\n<invoke name="NAME">\n',
        '<parameter name="KEY">VALUE</parameter>\n',
        "</invoke>\n</minimax:tool_call>",
    ),
    "glm45": between_marks(
        "<tool_call>NAME\n", "<arg_key>KEY</arg_key>\n<arg_value>VALUE</arg_value>\n", "</tool_call>"
    ),
    "glm47": between_marks("<tool_call>NAME", "<arg_key>KEY</arg_key><arg_value>VALUE</arg_value>", "</tool_call>"),
}
"""By vLLM's name of a tool parser: the families whose calls have a grammar."""
FREE: Mapping[str, Layout] = {
    "phi4_mini_json": around_json('functools[{"name": "NAME", "arguments": ARGUMENTS}]'),
    "internlm": around_json('<|action_start|><|plugin|>\n{"name": "NAME", "parameters": ARGUMENTS}<|action_end|>'),
    "jamba": around_json('<tool_calls>[{"name": "NAME", "arguments": ARGUMENTS}]</tool_calls>'),
    "xlam": around_json('[{"name": "NAME", "arguments": ARGUMENTS}]'),
    "granite": around_json('<|tool_call|>[{"name": "NAME", "arguments": ARGUMENTS}]'),
    "mistral": around_json("[TOOL_CALLS]NAME[ARGS]ARGUMENTS"),
    "pythonic": in_python("[", "]"),
    "olmo3": in_python("<function_calls>", "</function_calls>"),
    "seed_oss": between_marks(
        "<seed:tool_call>\n<function=NAME>\n",
        "<parameter=KEY>VALUE</parameter>\n",
        "</function>\n</seed:tool_call>",
    ),
    "deepseek_v32": between_marks(
        '<｜DSML｜function_calls>\n<｜DSML｜invoke name="NAME">\n',
        '<｜DSML｜parameter name="KEY" string="false">VALUE</｜DSML｜parameter>\n',
        "</｜DSML｜invoke>\n</｜DSML｜function_calls>",
    ),
    "minimax_m3": between_marks(
        ']<]minimax[>[<tool_call>\n]<]minimax[>[<invoke name="NAME">',
        "]<]minimax[>[<KEY>VALUE]<]minimax[>[</KEY>",
        "]<]minimax[>[</invoke>\n]<]minimax[>[</tool_call>",
    ),
}
"""Families whose models call when they like; demanded calls are JSON, or cannot be had."""
ALL: Mapping[str, Layout] = {**NATIVE, **FREE}
LEADS = {"minimax_m2": "\n"}
"""What a demanded call begins with beside itself."""
MARKS = [
    *("<|python_tag|>", "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "<|tool_calls_section_begin|>"),
    *("<|tool_calls_section_end|>", "<|tool_call_begin|>", "<|tool_call_end|>", "<|tool_call_argument_begin|>"),
    *("<tool_calls>", "</tool_calls>", "<longcat_tool_call>", "</longcat_tool_call>"),
    *("<seed:tool_call>", "</seed:tool_call>", "<|tool_call|>", "<minimax:tool_call>", "</minimax:tool_call>"),
    *("<|action_start|>", "<|plugin|>", "<|action_end|>", "<mm:think>", "</mm:think>"),
]
PLAIN_MARKS = [
    *(
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁calls▁end｜>",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁call▁end｜>",
        "<｜tool▁sep｜>",
    ),
    "]<]minimax[>[",
]
"""Tokens of their own, but no special ones."""


@dataclass
class Family:
    """One family's parser, and what is known of one request."""

    tokenizer: Any
    parsers: Parsers
    chat: VllmChatRequest
    tool: Tool
    compiled: xgr.CompiledGrammar | None

    def allows(self, text: str) -> bool:
        """Whether the grammar takes a text as a whole answer."""
        import xgrammar as xgr  # noqa: PLC0415

        matcher = xgr.GrammarMatcher(self.compiled)
        return matcher.accept_string(text) and matcher.accept_token(self.tokenizer.eos_token_id)

    def read(self, text: str, cuts: Iterable[int] = (), finish: str = "stop", prompt: str = "Hi") -> WholeChoice:
        """Read a text in pieces."""
        from palaver_server.engine.tool_judge import ToolJudge  # noqa: PLC0415
        from palaver_server.engine.vllm.answer.parsed_stage import ParsedStage, Reading  # noqa: PLC0415

        chat = self.parsers.to_read_by(self.chat, [self.tool])
        prompt_ids = self.tokenizer.encode(prompt, add_special_tokens=False)
        parser = self.parsers.new(chat, prompt_ids, {})
        judge = ToolJudge([self.tool], allows_calls=self.chat.tool_choice != "none")
        stage = ParsedStage(0, parser, Reading(chat, prompt_ids, judge))
        answer = WholeAnswer()
        for output in outputs(self.tokenizer, text, cuts, finish):
            if (delta := stage.feed(output)) is not None:
                answer.add(delta)
        return answer[0]


async def new_family(
    marked: Any,
    gate: Gate,
    name: str,
    tool: Tool,
    *,
    choice: ToolChoice = ToolChoiceMode.AUTO,
    reasoning: str | None = None,
) -> Family:
    """Make the parsers of a family and the form of one request's answer, as the engine does.

    Args:
        marked: a vocabulary with everybody's marks.
        gate: admits the form.
        name: vLLM's name of the tool parser.
        tool: the only one on offer.
        choice: whether it must be called.
        reasoning: vLLM's name of a reasoning parser.
    """
    from palaver_server.engine.vllm.answer.parsers import ParserNames, Parsers  # noqa: PLC0415
    from palaver_server.engine.vllm.grammar.form import Form, Kind  # noqa: PLC0415
    from palaver_server.engine.vllm.grammar.library import compile_form  # noqa: PLC0415
    from palaver_server.engine.vllm.grammar.wanted import Forms  # noqa: PLC0415
    from palaver_server.engine.vllm.prompt.chat_request import vllm_chat_request  # noqa: PLC0415
    from tests.engine.compiling import vocabulary_of  # noqa: PLC0415

    model: Any = SimpleNamespace(model="m", hf_config=SimpleNamespace(model_type="any"))
    parsers = Parsers(ParserNames(name, reasoning), model, marked)
    request = replace(say("Hi"), tools=(tool,), tool_choice=choice)
    chat: Any = vllm_chat_request(request, request.options, {})
    chat = parsers._composed(chat, {}).adjust_request(chat)
    compiled = None
    if parsers.can_demand_one_tool:
        params = await Forms(parsers, gate, any_whitespace=True).params(request, chat)
        if params is not None:
            assert params.structural_tag is not None  # JSON alone is told as a tag, for its limit on white space
            compiled = compile_form(Form(Kind.TAG, params.structural_tag), vocabulary_of(marked))
    return Family(marked, parsers, chat, tool, compiled)
