"""Conversations that are too long, through an engine that counts words: no more is left out than must be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from palaver_server.core.context import ContextOverflow, ContextPolicy, ContextTruncation
from palaver_server.core.conversation import Message, Role, TextPart
from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.options import GenerationOptions
from palaver_server.engine.policy import EnginePolicy
from palaver_server.engine.scripted.behaviour import ScriptedBehaviour
from palaver_server.engine.scripted.engine import ScriptedEngine

TURNS = 20
"""Of ten tokens each: a user's word and the model's, and the layout of both."""


def asking(**policy: Any) -> GenerationRequest:
    said = [("system", "Rules."), *[(role, "word") for _ in range(TURNS) for role in ("user", "assistant")]]
    messages = tuple(Message(Role(role), (TextPart(text),)) for role, text in [*said, ("user", "And now?")])
    options = GenerationOptions()
    return GenerationRequest("r", "", messages, options, is_streamed=False, context_policy=ContextPolicy(**policy))


async def engine(context_length: int = 100, policy: EnginePolicy | None = None) -> ScriptedEngine:
    made = ScriptedEngine(ScriptedBehaviour(context_length=context_length), policy=policy)
    await made.load(lambda _: None)
    return made


TOTAL = 5 + TURNS * 10 + 6


async def test_as_few_of_the_oldest_turns_as_possible_are_left_out_and_told():
    request = asking(overflow=ContextOverflow.DROP_OLDEST)
    prompt = await (await engine()).prepare(request)
    dropped = -(-(TOTAL - 99) // 10)
    assert prompt.prompt_token_count == TOTAL - 10 * dropped <= 99
    assert prompt.started.truncation == ContextTruncation(10 * dropped, tuple(range(1, 1 + 2 * dropped)))
    assert "Rules." in prompt.prompt_text
    assert prompt.prompt_text.count("word") == 2 * (TURNS - dropped)


@pytest.mark.parametrize("limit", range(11, TOTAL + 1, 7))
async def test_every_limit_is_kept_and_used(limit):
    prompt = await (await engine(1000)).prepare(asking(overflow=ContextOverflow.DROP_OLDEST, max_prompt_tokens=limit))
    assert limit - 10 < prompt.prompt_token_count <= limit


async def test_what_fits_is_left_alone():
    prompt = await (await engine(TOTAL + 1)).prepare(asking(overflow=ContextOverflow.DROP_OLDEST))
    assert prompt.started.truncation is None


async def test_room_for_the_answer_counts():
    prompt = await (await engine()).prepare(asking(overflow=ContextOverflow.DROP_OLDEST, reserved_output_tokens=60))
    assert prompt.max_output_tokens >= 60


async def test_what_is_never_left_out_is_refused_when_it_is_too_long():
    with pytest.raises(PalaverError) as refused:
        await (await engine(11)).prepare(asking(overflow=ContextOverflow.DROP_OLDEST))
    assert refused.value.reason is Reason.PROMPT_TOO_LONG
    assert refused.value.metadata["prompt_token_count"] == "11"


async def test_the_operators_choice_counts_where_the_request_says_nothing():
    dropping = EnginePolicy(context_overflow=ContextOverflow.DROP_OLDEST)
    assert (await (await engine(policy=dropping)).prepare(asking())).started.truncation is not None
    for made, request in (
        (await engine(policy=dropping), asking(overflow=ContextOverflow.REJECT)),
        (await engine(), asking()),
    ):
        with pytest.raises(PalaverError) as refused:
            await made.prepare(request)
        assert refused.value.reason is Reason.PROMPT_TOO_LONG


async def test_counting_tells_what_would_be_left_out_and_refuses_no_length():
    made = await engine()
    counted = await made.count_tokens(asking(overflow=ContextOverflow.DROP_OLDEST))
    assert counted.truncation == (await made.prepare(asking(overflow=ContextOverflow.DROP_OLDEST))).started.truncation
    counted = await made.count_tokens(asking())
    assert (counted.prompt_token_count, counted.max_output_tokens, counted.truncation) == (TOTAL, 0, None)


async def test_the_most_output_is_the_operators():
    made = await engine(1000, EnginePolicy(max_output_tokens=50))
    assert (await made.prepare(asking())).max_output_tokens == 50
    with pytest.raises(PalaverError) as refused:
        await made.prepare(replace(asking(), options=GenerationOptions(max_output_tokens=51)))
    assert refused.value.violations[0].field == "options.max_output_tokens"
