"""Calls of the families that vLLM reads: a demanded one is forced by a grammar, and what fits the grammar is read back.

No weights of these families are needed: the grammar is compiled for a vocabulary with their marks, and the text of a
call is what their models were taught to write.
"""

# ruff: noqa: RUF001  # the marks of DeepSeek have bars of full width

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from palaver_server.core.answer import WholeAnswer, WholeChoice
from palaver_server.core.tools import NamedTool, Tool, ToolCallState, ToolChoice, ToolChoiceMode
from tests.engine.conftest import say
from tests.engine.outputs import outputs

if TYPE_CHECKING:  # vLLM takes seconds to import
    import xgrammar as xgr

    from palaver_server.engine.vllm.answer.parsers import Parsers
    from palaver_server.engine.vllm.prompt.chat_request import VllmChatRequest

WEATHER = Tool(
    "get_weather",
    "Tells the weather.",
    json.dumps(
        {
            "type": "object",
            "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer", "minimum": 1}},
            "required": ["city", "days"],
            "additionalProperties": False,
        }
    ),
    is_strict=True,
)
ARGUMENTS = '{"city": "Paris", "days": 3}'
BAD_ARGUMENTS = '{"city": "Berlin", "days": 3}'
NATIVE = {
    "hermes": '<tool_call>\n{"name": "get_weather", "arguments": %s}\n</tool_call>',
    "llama3_json": '{"name": "get_weather", "parameters": %s}',
    "deepseek_v3": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n%s\n```"
    "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "deepseek_v31": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>%s<｜tool▁call▁end｜>"
    "<｜tool▁calls▁end｜>",
    "kimi_k2": "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>%s"
    "<|tool_call_end|><|tool_calls_section_end|>",
    "longcat": '<longcat_tool_call>\n{"name": "get_weather", "arguments": %s}\n</longcat_tool_call>',
}
"""By vLLM's name of a tool parser: a call in the family's own layout, around its arguments."""
AS_JSON = ("phi4_mini_json", "pythonic", "internlm", "jamba", "xlam", "olmo3")
"""Families without a grammar of their calls: a demanded call is a list of calls in JSON, a named one its arguments."""
ONLY_NAMED = ("granite", "seed_oss")
"""As those, but vLLM's parsers cannot read such a list in a stream."""
CANNOT = ("mistral",)
"""vLLM makes them call through a grammar of their own tokenizer; palaver, which compiles xgrammar's, does not."""
MARKS = [
    *(
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁calls▁end｜>",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁call▁end｜>",
        "<｜tool▁sep｜>",
    ),
    *("<|python_tag|>", "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "<|tool_calls_section_begin|>"),
    *("<|tool_calls_section_end|>", "<|tool_call_begin|>", "<|tool_call_end|>", "<|tool_call_argument_begin|>"),
    *(
        "<tool_calls>",
        "</tool_calls>",
        "<longcat_tool_call>",
        "</longcat_tool_call>",
        "<seed:tool_call>",
        "</seed:tool_call>",
        "<|tool_call|>",
    ),
]


@dataclass
class Family:
    """One family's parser, and the grammar of one demand."""

    tokenizer: Any
    parsers: Parsers
    chat: VllmChatRequest
    compiled: xgr.CompiledGrammar | None

    def allows(self, text: str) -> bool:
        """Whether the grammar takes a text as a whole answer."""
        import xgrammar as xgr  # noqa: PLC0415

        matcher = xgr.GrammarMatcher(self.compiled)
        return matcher.accept_string(text) and matcher.accept_token(self.tokenizer.eos_token_id)

    def read(self, text: str, cut: int) -> WholeChoice:
        """Read a text, so many tokens at once."""
        from palaver_server.engine.tool_judge import ToolJudge  # noqa: PLC0415
        from palaver_server.engine.vllm.answer.parsed_stage import ParsedStage, Reading  # noqa: PLC0415

        parser = self.parsers.new(self.chat, [1], {})
        stage, answer = ParsedStage(0, parser, Reading(self.chat, [1], ToolJudge([WEATHER]))), WholeAnswer()
        for output in outputs(self.tokenizer, text, range(0, 1000, cut)):
            if (delta := stage.feed(output)) is not None:
                answer.add(delta)
        return answer[0]


@pytest.fixture(scope="module")
def marked(tokenizer: Any) -> Any:
    """A vocabulary with everybody's marks."""
    from transformers import AutoTokenizer  # noqa: PLC0415

    own = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    own.add_special_tokens({"additional_special_tokens": MARKS})
    return own


def family(marked: Any, name: str, choice: ToolChoice) -> Family:
    import xgrammar as xgr  # noqa: PLC0415

    from palaver_server.engine.vllm.answer.parsers import ParserNames, Parsers  # noqa: PLC0415
    from palaver_server.engine.vllm.grammar.form import Form, Kind  # noqa: PLC0415
    from palaver_server.engine.vllm.grammar.library import compile_form  # noqa: PLC0415
    from palaver_server.engine.vllm.prompt.chat_request import vllm_chat_request  # noqa: PLC0415

    model: Any = SimpleNamespace(model="m", hf_config=SimpleNamespace(model_type="any"))
    parsers = Parsers(ParserNames(name), model, marked)
    request = replace(say("Hi"), tools=(WEATHER,), tool_choice=choice)
    chat: Any = vllm_chat_request(request, request.options, {})
    chat = parsers._composed(chat, {}).adjust_request(chat)
    outputs = chat.structured_outputs
    compiled = None
    if outputs is not None:
        tag, schema = outputs.structural_tag, outputs.json
        form = Form(Kind.TAG, tag) if tag is not None else Form(Kind.JSON, json.dumps(schema))
        vocabulary = xgr.TokenizerInfo.from_huggingface(marked, vocab_size=len(marked))
        compiled = compile_form(form, vocabulary)
    return Family(marked, parsers, chat, compiled)


CHOICES = pytest.mark.parametrize(
    "choice", [ToolChoiceMode.REQUIRED, NamedTool("get_weather")], ids=["required", "named"]
)


def check(found: Family, call: str) -> None:
    assert found.parsers.can_demand_one_tool
    assert found.allows(call % ARGUMENTS)
    assert not found.allows("Hello!")
    assert not found.allows(call % BAD_ARGUMENTS)
    for cut in (1, 3, 1000):
        told = found.read(call % ARGUMENTS, cut)
        assert [(one.name, json.loads(one.arguments_json), one.state) for one in told.tool_calls] == [
            ("get_weather", json.loads(ARGUMENTS), ToolCallState.COMPLETE)
        ], cut
        assert told.text == ""


@CHOICES
@pytest.mark.parametrize("name", NATIVE)
def test_a_demanded_call_is_forced_in_the_familys_own_layout(marked: Any, name: str, choice: ToolChoice) -> None:
    check(family(marked, name, choice), NATIVE[name])


@CHOICES
@pytest.mark.parametrize("name", AS_JSON)
def test_a_demanded_call_is_forced_as_json_where_calls_have_no_grammar(
    marked: Any, name: str, choice: ToolChoice
) -> None:
    is_named = isinstance(choice, NamedTool)
    assert family(marked, name, choice).parsers.can_demand_calls
    check(family(marked, name, choice), "%s" if is_named else '[{"name": "get_weather", "parameters": %s}]')


@pytest.mark.parametrize("name", ONLY_NAMED)
def test_a_call_is_forced_of_the_named_tool_alone_where_lists_cannot_be_read(marked: Any, name: str) -> None:
    found = family(marked, name, NamedTool("get_weather"))
    assert not found.parsers.can_demand_calls
    check(found, "%s")


@pytest.mark.parametrize("name", CANNOT)
def test_who_cannot_be_made_to_call_is_known(marked: Any, name: str) -> None:
    parsers = family(marked, name, ToolChoiceMode.REQUIRED).parsers
    assert (parsers.can_demand_calls, parsers.can_demand_one_tool, parsers.can_hold_calls) == (False, False, False)
