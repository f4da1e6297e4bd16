"""Where a conversation is rendered, and that this makes no difference for what comes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from palaver_server.core.generation import GenerationRequest, ResponseOptions
from palaver_server.core.reasoning import ReasoningOptions
from palaver_server.core.tools import Tool, ToolCall
from palaver_server.engine.vllm.engine import VllmEngine
from palaver_server.engine.vllm.prompt import in_place
from palaver_server.engine.vllm.prompt.in_place import MAX_CHARACTERS, is_short
from tests.engine.conftest import say

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

LONG = "a" * MAX_CHARACTERS
EVERYTHING = ResponseOptions(effective_options=True, token_ids=True, prompt_text=True)
TALK = replace(say("Hi", "Hello!", "How are you?", temperature=0.5, seed=7), response_options=EVERYTHING)
SHORT = {
    "a question": replace(say("What is the capital of France?"), response_options=EVERYTHING),
    "a talk": TALK,
    "a talk without thoughts": replace(TALK, reasoning=ReasoningOptions(is_enabled=False)),
    "a talk with a tool": replace(TALK, tools=(Tool("get_weather", "Tells it.", '{"type": "object"}'),)),
    "words of no alphabet": replace(say("\U0001f600 ünï <|user|> \n\n"), response_options=EVERYTHING),
}


@pytest.fixture
def handed_over(glm: VllmEngine, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the engine's renderer has given to its thread."""
    assert glm._runtime is not None
    executor, given = glm._runtime.llm.renderer._executor, []
    submit = executor.submit

    def noting(function: Any, *args: Any, **named: Any) -> Any:
        given.append(function)
        return submit(function, *args, **named)

    monkeypatch.setattr(executor, "submit", noting)
    return given


@pytest.mark.parametrize("request_", SHORT.values(), ids=SHORT)
async def test_a_short_conversation_is_rendered_at_once_and_as_in_the_thread(
    glm: VllmEngine, request_: GenerationRequest, handed_over: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = await glm.prepare(request_)
    assert handed_over == []

    monkeypatch.setattr(in_place, "MAX_CHARACTERS", 0)
    in_thread = await glm.prepare(request_)
    assert len(handed_over) == 2, "the template and the tokenizer"
    assert at_once.started == in_thread.started
    assert at_once.started.prompt_token_ids
    assert at_once.params == in_thread.params
    assert {**at_once.engine_input, "arrival_time": 0} == {**in_thread.engine_input, "arrival_time": 0}


async def test_a_long_conversation_is_rendered_in_the_thread(glm: VllmEngine, handed_over: list[Any]) -> None:
    assert (await glm.count_tokens(say(LONG + "b"))).prompt_token_count > 0
    assert len(handed_over) == 2


async def test_all_of_a_conversation_counts() -> None:
    short = say("Hi", "Hello!", "How are you?")
    (first, *others) = short.messages

    assert is_short(short)
    assert not is_short(say(LONG, "b"))
    assert not is_short(replace(short, tools=(Tool("f", LONG),)))
    assert not is_short(replace(short, messages=(replace(first, reasoning=LONG), *others)))
    assert not is_short(replace(short, messages=(replace(first, tool_calls=(ToolCall("1", "f", LONG),)), *others)))


async def test_what_a_template_makes_of_a_callers_arguments_is_nobodys_to_wait_for() -> None:
    assert not is_short(replace(say("Hi"), chat_template_arguments={"n": 10**9}))
