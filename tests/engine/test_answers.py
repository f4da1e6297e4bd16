"""What a real model answers, event by event."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from palaver_server.core.events import FinishReason
from palaver_server.core.identity.client import Client
from palaver_server.engine.vllm.engine import VllmEngine
from tests.engine.conftest import CONTEXT_LENGTH, answer, say

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

CAPITAL = "What is the capital of France?"
STORY = "Write a long story about a ship and its crew."


async def test_a_real_model_knows_the_capital(engine: VllmEngine) -> None:
    told = await answer(engine, say(CAPITAL, temperature=0.0, max_output_tokens=32))

    assert "Paris" in told.text
    assert told.end.finish_reason is FinishReason.STOP
    assert told.end.stop_sequence is None


async def test_streamed_text_equals_unary_text_at_temperature_zero(engine: VllmEngine) -> None:
    streamed = await answer(engine, say(STORY, temperature=0.0, max_output_tokens=40))
    unary = await answer(engine, say(STORY, temperature=0.0, max_output_tokens=40, streamed=False))

    assert streamed.text == unary.text
    assert len(streamed.deltas) > 1
    assert len(unary.deltas) == 1
    assert streamed.usage.output_token_count == unary.usage.output_token_count == 40


async def test_a_seed_makes_sampling_repeatable(engine: VllmEngine) -> None:
    first, again, other = [
        (await answer(engine, say(STORY, temperature=1.5, seed=seed, max_output_tokens=20))).text for seed in (7, 7, 8)
    ]

    assert first == again
    assert first != other


async def test_temperature_zero_takes_no_chances(engine: VllmEngine) -> None:
    texts = {(await answer(engine, say(STORY, temperature=0.0, max_output_tokens=30))).text for _ in range(3)}

    assert len(texts) == 1


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_stop_sequence_ends_the_answer_and_is_named_and_not_shown(
    engine: VllmEngine, *, streamed: bool
) -> None:
    whole = await answer(engine, say(CAPITAL, temperature=0.0, max_output_tokens=32))

    told = await answer(
        engine,
        say(CAPITAL, temperature=0.0, max_output_tokens=32, stop_sequences=("nowhere", " is P"), streamed=streamed),
    )

    assert told.end.finish_reason is FinishReason.STOP
    assert told.end.stop_sequence == " is P"
    assert told.text == whole.text[: whole.text.index(" is P")]
    assert told.usage.output_token_count < whole.usage.output_token_count


async def test_max_output_tokens_ends_the_answer_by_length(engine: VllmEngine) -> None:
    told = await answer(engine, say(STORY, max_output_tokens=5))

    assert told.started.max_output_tokens == 5
    assert told.end.finish_reason is FinishReason.LENGTH
    assert told.usage.output_token_count == 5
    assert sum(delta.token_count for delta in told.deltas) == 5


async def test_output_is_clamped_to_what_the_context_leaves(engine: VllmEngine) -> None:
    request = say(STORY, max_output_tokens=CONTEXT_LENGTH)

    prompt = await engine.prepare(request)

    assert prompt.max_output_tokens == CONTEXT_LENGTH - prompt.prompt_token_count


async def test_usage_adds_up_and_equals_count_tokens(engine: VllmEngine) -> None:
    request = say("Hi!", "Hello! How are you?", "Fine. Count to five.", temperature=0.0, max_output_tokens=20)

    told = await answer(engine, request)

    counted = (await engine.count_tokens(request)).prompt_token_count
    assert told.usage.prompt_token_count == told.started.prompt_token_count == counted
    shown = sum(delta.token_count for delta in told.deltas)
    assert shown <= told.usage.output_token_count <= shown + 1  # the end token shows as no text


async def test_a_repeated_prompt_is_cached(engine: VllmEngine) -> None:
    request = say("Remember these words: " + " ".join(f"word{number}" for number in range(200)), max_output_tokens=1)
    first = await answer(engine, request)

    again = await answer(engine, request)

    assert first.usage.cached_prompt_token_count == 0
    assert 0 < again.usage.cached_prompt_token_count < again.usage.prompt_token_count


async def test_the_next_turn_of_a_short_chat_finds_what_was_said_before(engine: VllmEngine) -> None:
    turns = ["Which of the seven seas is the saltiest, and why?", "The Red Sea: much sun and few rivers.", "And then?"]
    first = await answer(engine, say(turns[0], max_output_tokens=1))

    second = await answer(engine, say(*turns, max_output_tokens=1))

    assert first.usage.prompt_token_count < 64
    assert second.usage.cached_prompt_token_count >= 32


async def test_clients_do_not_share_the_cache(engine: VllmEngine) -> None:
    request = say("A secret of one client: " + " ".join(f"word{number}" for number in range(200)), max_output_tokens=1)
    mine, yours = (replace(request, client=Client(name)) for name in ("first", "second"))
    await answer(engine, mine)

    theirs, again = await answer(engine, yours), await answer(engine, mine)

    assert theirs.usage.cached_prompt_token_count == 0
    assert again.usage.cached_prompt_token_count > 0


async def test_timings_tell_queue_first_token_and_end_in_order(engine: VllmEngine) -> None:
    timings = (await answer(engine, say(STORY, max_output_tokens=20))).finished.timings

    assert timings.queue_seconds is not None
    assert timings.first_token_seconds is not None
    assert timings.total_seconds is not None
    assert 0 <= timings.queue_seconds < timings.first_token_seconds < timings.total_seconds < 60


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_time_limit_ends_the_answer_with_the_text_so_far(engine: VllmEngine, *, streamed: bool) -> None:
    began = time.monotonic()

    # One sequence at temperature 2 does not end by itself for a long while.
    told = await answer(engine, say(STORY, temperature=2.0, seed=1, time_limit_seconds=0.5, streamed=streamed))

    assert told.end.finish_reason is FinishReason.TIME_LIMIT
    assert told.text
    assert told.usage.output_token_count > 0
    assert 0.5 <= time.monotonic() - began < 5
    assert engine.running_count == 0


async def test_a_time_limit_counts_from_the_beginning_of_the_call(engine: VllmEngine) -> None:
    prompt = await engine.prepare(say(STORY, time_limit_seconds=0.05))
    await asyncio.sleep(0.1)

    events = [event async for event in engine.generate(prompt)]

    assert events[-1].choices[0].finish_reason is FinishReason.TIME_LIMIT  # type: ignore[union-attr]
    assert engine.running_count == 0


async def test_an_answer_within_its_time_limit_ends_as_without(engine: VllmEngine) -> None:
    told = await answer(engine, say(CAPITAL, temperature=0.0, max_output_tokens=32, time_limit_seconds=60.0))

    assert told.end.finish_reason is FinishReason.STOP


@pytest.mark.parametrize("seed", range(2))
async def test_characters_of_several_bytes_are_never_split(engine: VllmEngine, seed: int) -> None:
    # The model's tokens are bytes for these scripts: most characters take two or three tokens.
    request = say(
        "翻译成中文 你好 世界 今天天气很好 请写一首诗 😀🎉🚀", temperature=0.8, seed=seed, max_output_tokens=80
    )

    told = await answer(engine, request)

    assert any(ord(character) > 0x7FF for character in told.text)
    assert not any("\ufffd" in delta.text for delta in told.deltas[:-1])  # the last may be cut by its length
    assert any(delta.token_count > 1 for delta in told.deltas)
    assert sum(delta.token_count for delta in told.deltas) <= told.usage.output_token_count


async def test_many_answers_are_written_at_once(engine: VllmEngine) -> None:
    questions = [f"What is {number} plus {number}?" for number in range(16)]

    tasks = [asyncio.create_task(answer(engine, say(question, max_output_tokens=30))) for question in questions]
    while engine.running_count < len(questions):
        await asyncio.sleep(0)
    told = await asyncio.gather(*tasks)

    assert all(one.text for one in told)
    assert engine.running_count == 0


async def test_one_request_id_may_be_used_twice_at_once(engine: VllmEngine) -> None:
    request = say(STORY, temperature=0.0, max_output_tokens=40)
    limited = say(STORY, temperature=0.0, time_limit_seconds=0.01)
    twin = replace(limited, request_id=request.request_id)

    whole, cut = await asyncio.gather(answer(engine, request), answer(engine, twin))

    assert whole.end.finish_reason is FinishReason.LENGTH
    assert cut.end.finish_reason is FinishReason.TIME_LIMIT


async def test_the_description_is_complete_once_loaded(engine: VllmEngine) -> None:
    description = engine.description

    assert description.model_id == "smollm2-135m-instruct"
    assert description.context_length == CONTEXT_LENGTH
    assert description.architecture == "LlamaForCausalLM"
