"""What becomes of a conversation before the model reads it, with a real template and vocabulary."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from palaver_server.core.context import ContextOverflow, ContextPolicy
from palaver_server.core.conversation import Message, Role, TextPart
from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.generation import GenerationRequest, ResponseOptions
from palaver_server.core.options import GenerationOptions
from palaver_server.core.reasoning import ReasoningOptions
from palaver_server.core.tools import Tool, ToolCall
from palaver_server.engine.vllm.engine import VllmEngine
from tests.engine.conftest import CONTEXT_LENGTH, TINY_GLM, say
from tests.engine.test_glm import BY_NAME, ask, tell

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

EVERYTHING = ResponseOptions(token_ids=True, prompt_text=True)


def long(**policy: Any) -> GenerationRequest:
    """Rules, then turns with a call each, twice as long as the context."""
    turns = []
    for number in range(120):
        turns += [
            Message(Role.USER, (TextPart(f"What is the weather in city {number}?"),)),
            Message(Role.ASSISTANT, (), (ToolCall(f"c{number}", "get_weather", '{"city": "Paris"}'),)),
            Message(Role.TOOL, (TextPart("sunny, 21 degrees"),), tool_call_id=f"c{number}"),
            Message(Role.ASSISTANT, (TextPart("It is sunny and 21 degrees."),)),
        ]
    said = (Message(Role.SYSTEM, (TextPart("Rules."),)), *turns, Message(Role.USER, (TextPart("Hello"),)))
    return replace(
        say("", max_output_tokens=8, temperature=0.0),
        messages=said,
        tools=(Tool("get_weather"),),
        context_policy=ContextPolicy(**policy),
        response_options=EVERYTHING,
    )


async def test_the_oldest_turns_go_and_every_answer_that_stays_has_its_call(glm: VllmEngine) -> None:
    request = long(overflow=ContextOverflow.DROP_OLDEST)
    whole = (await glm.count_tokens(long())).prompt_token_count
    prompt = await glm.prepare(request)
    truncation = prompt.started.truncation
    assert whole > CONTEXT_LENGTH > prompt.prompt_token_count
    assert truncation is not None
    assert truncation.dropped_token_count == whole - prompt.prompt_token_count
    assert truncation.dropped_messages == tuple(range(1, 1 + len(truncation.dropped_messages)))
    assert len(truncation.dropped_messages) % 4 == 0
    text = prompt.started.prompt_text
    assert "Rules." in text
    assert text.rstrip().endswith("<|assistant|>")
    assert text.count("<tool_call>get_weather") == text.count("<tool_response>")
    one_less = replace(long(), messages=request.messages[:1] + request.messages[len(truncation.dropped_messages) - 3 :])
    assert (await glm.count_tokens(one_less)).prompt_token_count >= CONTEXT_LENGTH
    async for _ in glm.generate(prompt):
        pass


@pytest.mark.parametrize("side", [ContextOverflow.TRUNCATE_START, ContextOverflow.TRUNCATE_END])
async def test_a_prompt_is_cut_at_the_side_that_was_asked_for(glm: VllmEngine, side: ContextOverflow) -> None:
    request = replace(ask(BY_NAME["greets in English"]), response_options=EVERYTHING)
    whole = (await glm.prepare(request)).started.prompt_token_ids
    policy = ContextPolicy(side, max_prompt_tokens=4)
    started = (await glm.prepare(replace(request, context_policy=policy))).started
    assert started.prompt_token_ids == (whole[-4:] if side is ContextOverflow.TRUNCATE_START else whole[:4])
    assert started.truncation is not None
    assert (started.truncation.dropped_token_count, started.truncation.dropped_messages) == (len(whole) - 4, ())
    told = await tell(glm, replace(request, context_policy=policy, response_options=ResponseOptions()))
    assert told.usage.prompt_token_count == 4


async def test_an_explanation_has_what_the_model_would_be_given(glm: VllmEngine) -> None:
    request = replace(ask(BY_NAME["calls one tool"]), reasoning=ReasoningOptions(is_enabled=True, is_included=False))
    told = await glm.explain(request)
    prompt = await glm.prepare(request)
    assert told.template_arguments == {"enable_thinking": True, "thinking": True}
    assert len(told.started.prompt_token_ids) == prompt.prompt_token_count
    assert "get_weather" in told.started.prompt_text
    assert told.started.effective_options is not None
    assert told.started.effective_options.max_output_tokens == prompt.max_output_tokens
    template = (TINY_GLM / "chat_template.jinja").read_text()
    model = glm.description
    assert model.chat_template_sha256 == hashlib.sha256(template.encode()).hexdigest()
    assert (model.tool_call_parser, model.reasoning_parser) == ("glm45", "glm45")


async def test_the_fingerprint_follows_what_decides_the_answers(glm: VllmEngine) -> None:
    from palaver_server.engine.vllm.start.fingerprint import fingerprint  # noqa: PLC0415  # it imports vLLM

    config, template = glm._loaded().llm.vllm_config, (TINY_GLM / "chat_template.jinja").read_text()
    same = fingerprint(config, template, GenerationOptions())
    assert same == glm.description.system_fingerprint
    assert fingerprint(config, f"{template} ", GenerationOptions()) != same
    assert fingerprint(config, template, GenerationOptions(temperature=0.5)) != same


@pytest.mark.parametrize("budget", [0, 1, 5, 20])
async def test_thoughts_end_at_their_budget_and_the_model_speaks(glm: VllmEngine, budget: int) -> None:
    request = ask(
        BY_NAME["thinks without end"],
        reasoning=ReasoningOptions(budget_tokens=budget),
        options={"max_output_tokens": 60},
    )
    told = await tell(glm, request)
    assert told.usage.reasoning_token_count <= budget
    assert told.usage.output_token_count > told.usage.reasoning_token_count + 1
    assert "<think>" not in told.speech
    assert "</think>" not in told.speech + told.thoughts
    whole = await tell(glm, replace(request, is_streamed=False))
    assert told.summary() == whole.summary()


async def test_a_budget_that_is_not_reached_changes_nothing(glm: VllmEngine) -> None:
    case = BY_NAME["greets in English"]
    free, bound = await tell(glm, ask(case)), await tell(glm, ask(case, reasoning=ReasoningOptions(budget_tokens=100)))
    assert free.summary() == bound.summary()


async def test_a_model_that_does_not_think_takes_no_budget(engine: VllmEngine) -> None:
    with pytest.raises(PalaverError) as refused:
        await engine.prepare(replace(say("Hi", prefix="chat."), reasoning=ReasoningOptions(budget_tokens=5)))
    assert refused.value.reason is Reason.INVALID_FIELD
    assert refused.value.violations[0].field.startswith("chat.reasoning.")
