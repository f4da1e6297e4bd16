"""Every sampling option acts, on a real model."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest

from palaver_server.core.answer import WholeAnswer
from palaver_server.core.conversation import Message, Role, TextPart
from palaver_server.core.errors import PalaverError
from palaver_server.core.events import Delta, Finished, FinishReason, Started
from palaver_server.core.generation import GenerationRequest, ResponseOptions
from palaver_server.core.options import RepetitionDetection
from palaver_server.engine.vllm.engine import VllmEngine
from tests.engine.conftest import answer, say

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

CAPITAL = "What is the capital of France?"
STORY = "Write a long story about a ship and its crew."
VOCABULARY = 49152
PARIS = 7042
"""The token " Paris"."""


async def whole(engine: VllmEngine, request: GenerationRequest) -> tuple[Started, list[Delta], Finished, WholeAnswer]:
    started, *deltas, finished = [event async for event in engine.generate(await engine.prepare(request))]
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    answer = WholeAnswer()
    for delta in deltas:
        assert isinstance(delta, Delta)
        answer.add(delta)
    return started, deltas, finished, answer  # type: ignore[return-value]


async def test_choices_come_interleaved_each_with_its_own_end(engine: VllmEngine) -> None:
    request = say(STORY, temperature=1.0, seed=3, choice_count=3, max_output_tokens=12)

    _, deltas, finished, told = await whole(engine, request)

    assert [end.choice_index for end in finished.choices] == [0, 1, 2]
    assert {end.finish_reason for end in finished.choices} == {FinishReason.LENGTH}
    order = [delta.choice_index for delta in deltas]
    assert order != sorted(order)
    assert len({told[index].text for index in range(3)}) == 3
    assert finished.usage.output_token_count == 36


@pytest.mark.parametrize("choices", [1, 3])
async def test_the_stream_put_together_is_the_unary_answer(engine: VllmEngine, choices: int) -> None:
    request = say(STORY, temperature=1.0, seed=5, choice_count=choices, max_output_tokens=20, top_logprobs=2)

    _, _, _, streamed = await whole(engine, request)
    _, deltas, _, unary = await whole(engine, replace(request, is_streamed=False))

    assert len(deltas) == choices
    for index in range(choices):
        assert streamed[index].text == unary[index].text
        assert [token.chosen.token_id for token in streamed[index].logprobs] == [
            token.chosen.token_id for token in unary[index].logprobs
        ]


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_time_limit_ends_every_choice(engine: VllmEngine, *, streamed: bool) -> None:
    request = say(STORY, temperature=2.0, seed=1, choice_count=3, time_limit_seconds=0.3, streamed=streamed)

    _, _, finished, _ = await whole(engine, request)

    assert [end.finish_reason for end in finished.choices] == [FinishReason.TIME_LIMIT] * 3
    assert engine.running_count == 0


async def test_several_choices_at_temperature_zero_are_refused(engine: VllmEngine) -> None:
    with pytest.raises(PalaverError) as refused:
        await engine.prepare(say(CAPITAL, temperature=0.0, choice_count=2))

    assert refused.value.violations[0].field == "options.choice_count"


async def test_log_probabilities_tell_each_token_and_the_likeliest(engine: VllmEngine) -> None:
    _, _, finished, told = await whole(engine, say(CAPITAL, temperature=0.0, top_logprobs=3, max_output_tokens=6))

    tokens = told[0].logprobs
    assert len(tokens) == finished.usage.output_token_count == 6
    assert b"".join(token.chosen.raw_bytes for token in tokens).decode() == told[0].text
    for token in tokens:
        assert token.chosen.rank == 1  # at temperature 0 it is the likeliest
        assert [other.rank for other in token.alternatives] == [1, 2, 3]
        assert token.alternatives[0] == token.chosen
        logprobs = [other.logprob or 0.0 for other in token.alternatives]
        assert logprobs == sorted(logprobs, reverse=True)
        assert all(logprob <= 0 for logprob in logprobs)


async def test_log_probabilities_of_the_chosen_tokens_alone(engine: VllmEngine) -> None:
    _, _, _, told = await whole(engine, say(CAPITAL, temperature=0.0, top_logprobs=0, max_output_tokens=4))

    assert len(told[0].logprobs) == 4
    assert all(token.alternatives == () and token.chosen.logprob is not None for token in told[0].logprobs)


async def test_log_probabilities_of_named_tokens(engine: VllmEngine) -> None:
    request = say(CAPITAL, temperature=0.0, logprob_token_ids=(PARIS, 5), max_output_tokens=3)

    _, _, _, told = await whole(engine, request)

    for token in told[0].logprobs:
        assert {other.token_id for other in token.alternatives} == {PARIS, 5, token.chosen.token_id}


async def test_bytes_of_pieces_make_whole_characters(engine: VllmEngine) -> None:
    request = say("翻译成中文 你好 世界 😀🎉🚀", temperature=0.0, top_logprobs=0, max_output_tokens=60)

    _, _, _, told = await whole(engine, request)

    raw = b"".join(token.chosen.raw_bytes for token in told[0].logprobs)
    assert any(byte > 0x7F for byte in raw)
    assert raw.decode(errors="replace").startswith(told[0].text.rstrip("\ufffd"))


async def test_log_probabilities_of_the_prompt(engine: VllmEngine) -> None:
    request = replace(
        say(CAPITAL, temperature=0.0, prompt_top_logprobs=2, max_output_tokens=2),
        response_options=ResponseOptions(token_ids=True, prompt_text=True),
    )

    started, _, finished, told = await whole(engine, request)

    tokens = finished.prompt_logprobs
    assert [token.chosen.token_id for token in tokens] == list(started.prompt_token_ids)
    assert tokens[0].chosen.logprob is None
    assert all(token.chosen.logprob is not None and len(token.alternatives) == 2 for token in tokens[1:])
    assert b"".join(token.chosen.raw_bytes for token in tokens).decode() == started.prompt_text
    assert CAPITAL in started.prompt_text
    assert len(told[0].token_ids) == 2


async def test_a_bias_forces_and_forbids_tokens(engine: VllmEngine) -> None:
    forced = await answer(engine, say(STORY, temperature=0.0, logit_bias={PARIS: 100.0}, max_output_tokens=3))
    forbidden = await answer(engine, say(CAPITAL, temperature=0.0, logit_bias={PARIS: -100.0}, max_output_tokens=16))

    assert forced.text == " Paris Paris Paris"
    assert " Paris" not in forbidden.text


async def test_only_allowed_tokens_are_written(engine: VllmEngine) -> None:
    told = await answer(engine, say(STORY, temperature=1.0, allowed_token_ids=(PARIS,), max_output_tokens=4))

    assert told.text == " Paris" * 4


async def test_bad_words_are_not_written(engine: VllmEngine) -> None:
    told = await answer(engine, say(CAPITAL, temperature=0.0, bad_words=("Paris",), max_output_tokens=16))

    assert "Paris" not in told.text


async def test_a_stop_token_ends_the_answer_and_is_named(engine: VllmEngine) -> None:
    told = await answer(engine, say(CAPITAL, temperature=0.0, stop_token_ids=(PARIS,), max_output_tokens=16))

    assert told.end.finish_reason is FinishReason.STOP
    assert told.end.stop_token_id == PARIS
    assert told.end.stop_sequence is None
    assert "Paris" not in told.text


async def test_a_stop_sequence_can_stay_in_the_answer(engine: VllmEngine) -> None:
    told = await answer(
        engine,
        say(CAPITAL, temperature=0.0, stop_sequences=(" is",), includes_stop_sequence=True, max_output_tokens=16),
    )

    assert told.end.stop_sequence == " is"
    assert told.text.endswith(" is")


async def test_an_answer_has_its_fewest_tokens(engine: VllmEngine) -> None:
    short = await answer(engine, say(CAPITAL, temperature=0.0, max_output_tokens=40))

    long = await answer(engine, say(CAPITAL, temperature=0.0, min_output_tokens=30, max_output_tokens=40))

    assert short.usage.output_token_count < 30 <= long.usage.output_token_count


async def test_the_end_of_the_sequence_can_be_passed_over(engine: VllmEngine) -> None:
    told = await answer(engine, say(CAPITAL, temperature=0.0, ignores_eos=True, max_output_tokens=40))

    assert told.end.finish_reason is FinishReason.LENGTH


async def test_repetition_is_noticed(engine: VllmEngine) -> None:
    told = await answer(
        engine,
        say(
            STORY,
            temperature=0.0,
            allowed_token_ids=(PARIS,),
            repetition_detection=RepetitionDetection(max_pattern_tokens=2, min_repeat_count=4),
            max_output_tokens=30,
        ),
    )

    assert told.end.finish_reason is FinishReason.REPETITION
    assert told.usage.output_token_count < 30


async def test_top_p_of_zero_takes_the_likeliest(engine: VllmEngine) -> None:
    likeliest = await answer(engine, say(STORY, temperature=0.0, max_output_tokens=10))

    told = await answer(engine, say(STORY, temperature=2.0, top_p=0.0, max_output_tokens=10))

    assert told.text == likeliest.text


async def test_the_options_in_force_are_told(engine: VllmEngine) -> None:
    request = replace(
        say(CAPITAL, top_k=7, max_output_tokens=3), response_options=ResponseOptions(effective_options=True)
    )

    started, _, _, _ = await whole(engine, request)

    options = started.effective_options
    assert options is not None
    assert (options.top_k, options.max_output_tokens, options.choice_count) == (7, 3, 1)
    assert options.temperature == engine.description.defaults.temperature
    assert math.isclose(options.repetition_penalty or 0, 1.0)


async def test_running_usage_counts_up_to_the_whole(engine: VllmEngine) -> None:
    request = replace(say(STORY, max_output_tokens=10), response_options=ResponseOptions(running_usage=True))

    _, deltas, finished, _ = await whole(engine, request)

    counts = [delta.usage.output_token_count for delta in deltas if delta.usage is not None]
    assert len(counts) == len(deltas)
    assert counts == sorted(counts)
    assert counts[-1] <= finished.usage.output_token_count == 10


async def test_tokens_are_gathered_into_larger_deltas(engine: VllmEngine) -> None:
    request = replace(say(STORY, temperature=0.0, max_output_tokens=41), min_tokens_per_delta=10)

    told = await answer(engine, request)

    assert all(delta.token_count >= 10 for delta in told.deltas[1:-1])
    assert len(told.deltas) <= 6


async def test_an_assistant_turn_is_continued(engine: VllmEngine) -> None:
    request = replace(
        say(CAPITAL, temperature=0.0, max_output_tokens=3),
        messages=(
            Message(Role.USER, (TextPart(CAPITAL),)),
            Message(Role.ASSISTANT, (TextPart("The capital of France is the city of"),)),
        ),
        continues_final_message=True,
    )

    told = await answer(engine, request)

    assert told.text.startswith(" Paris")


FOREIGN: list[tuple[dict[str, Any], str]] = [
    ({"stop_token_ids": (1, VOCABULARY)}, "options.stop_token_ids[1]"),
    ({"allowed_token_ids": (VOCABULARY,)}, "options.allowed_token_ids[0]"),
    ({"logprob_token_ids": (3, VOCABULARY)}, "options.logprob_token_ids[1]"),
    ({"logit_bias": {VOCABULARY: 1.0}}, f"options.logit_bias[{VOCABULARY}]"),
]


@pytest.mark.parametrize(("options", "field"), FOREIGN, ids=[field for _, field in FOREIGN])
async def test_tokens_of_no_vocabulary_are_refused(engine: VllmEngine, options: dict[str, Any], field: str) -> None:
    with pytest.raises(PalaverError) as refused:
        await engine.prepare(say(CAPITAL, prefix="chat.", **options))

    assert refused.value.violations[0].field == f"chat.{field}"
    assert engine.running_count == 0


async def test_a_priority_needs_a_scheduler_that_has_them(engine: VllmEngine) -> None:
    with pytest.raises(PalaverError) as refused:
        await engine.prepare(replace(say(CAPITAL), priority=1))

    assert refused.value.violations[0].field == "priority"


async def test_each_delta_counts_its_tokens(engine: VllmEngine) -> None:
    request = say(STORY, temperature=1.0, seed=3, choice_count=2, max_output_tokens=15)

    _, deltas, finished, _ = await whole(engine, request)

    counts: defaultdict[int, int] = defaultdict(int)
    for delta in deltas:
        counts[delta.choice_index] += delta.token_count
    assert sum(counts.values()) == finished.usage.output_token_count
