"""How a scripted engine behaves: load, limits, times, faults, cancellation. Times are exact: they are virtual."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import pytest

from palaver_server.core.conversation import Message, Role, TextPart
from palaver_server.core.engine import Engine, EngineStartError
from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.events import Delta, Event, Finished, FinishReason, Started
from palaver_server.core.generation import GenerationRequest, ResponseOptions
from palaver_server.core.model import LoadPhase, LoadProgress
from palaver_server.core.options import GenerationOptions
from palaver_server.engine.scripted.behaviour import ScriptedBehaviour
from palaver_server.engine.scripted.engine import MAX_MERGED_TOKENS, TOKENS_PER_TURN, ScriptedEngine
from palaver_server.engine.scripted.words import split_words

TEXT = "one two three four five"
DEFAULTS = GenerationOptions()


def said(*turns: tuple[Role, str]) -> tuple[Message, ...]:
    return tuple(Message(role, (TextPart(text),)) for role, text in turns)


def ask(text: str = TEXT, options: GenerationOptions = DEFAULTS, *, is_streamed: bool = True) -> GenerationRequest:
    return GenerationRequest("r1", "", said((Role.USER, text)), options, is_streamed, field_prefix="chat.")


async def loaded(behaviour: ScriptedBehaviour | None = None) -> ScriptedEngine:
    engine = ScriptedEngine(behaviour)
    await engine.load(lambda _: None)
    return engine


async def begin(engine: ScriptedEngine, request: GenerationRequest) -> AsyncGenerator[Event, None]:
    """An answer whose ``Started`` has been read."""
    events = engine.generate(await engine.prepare(request))
    assert isinstance(await anext(events), Started)
    return events


async def collect(engine: Engine, request: GenerationRequest) -> list[tuple[float, Event]]:
    """All events, each with its time from the call's beginning."""
    now = asyncio.get_running_loop().time
    began = now()
    return [(round(now() - began, 6), event) async for event in engine.generate(await engine.prepare(request))]


def finished_of(events: list[tuple[float, Event]]) -> Finished:
    last = events[-1][1]
    assert isinstance(last, Finished)
    return last


def deltas_of(events: list[tuple[float, Event]]) -> list[tuple[float, str, int]]:
    return [(at, event.text, event.token_count) for at, event in events if isinstance(event, Delta)]


def now() -> float:
    return asyncio.get_running_loop().time()


# Loading


async def test_a_load_takes_its_time_and_tells_its_progress() -> None:
    engine = ScriptedEngine(ScriptedBehaviour(load_seconds=10, context_length=100), model_id="parrot")
    assert (engine.description.model_id, engine.description.context_length) == ("parrot", None)
    reports: list[LoadProgress] = []
    await engine.load(reports.append)
    assert now() == pytest.approx(10)
    fractions = [report.fraction for report in reports]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert list(dict.fromkeys(report.phase for report in reports)) == [
        LoadPhase.STARTING_ENGINE,
        LoadPhase.WARMING_UP,
    ]
    assert engine.description.context_length == 100
    assert engine.description.architecture == "ScriptedEngine"


async def test_a_load_that_must_fail_fails_with_its_sentence() -> None:
    engine = ScriptedEngine(ScriptedBehaviour(load_seconds=3, load_error="There is no parrot here."))
    with pytest.raises(EngineStartError, match=r"^There is no parrot here\.$"):
        await engine.load(lambda _: None)
    assert now() == pytest.approx(3)


async def test_nothing_is_answered_before_the_load() -> None:
    with pytest.raises(PalaverError) as caught:
        await ScriptedEngine().prepare(ask())
    assert caught.value.reason is Reason.ENGINE_UNAVAILABLE


# What is said


async def test_the_last_user_message_is_repeated_a_word_a_delta() -> None:
    engine = await loaded()
    messages = said((Role.SYSTEM, "Be kind."), (Role.USER, "no"), (Role.USER, "yes, sir\n"), (Role.ASSISTANT, "Well"))
    events = await collect(engine, GenerationRequest("r1", "", messages, DEFAULTS, is_streamed=True))
    assert deltas_of(events) == [(0, "yes,", 1), (0, " sir\n", 1)]
    assert finished_of(events).choices[0].finish_reason is FinishReason.STOP


async def test_without_a_user_the_last_message_is_repeated() -> None:
    engine = await loaded()
    request = GenerationRequest("r1", "", said((Role.SYSTEM, "Be kind.")), DEFAULTS, is_streamed=False)
    assert deltas_of(await collect(engine, request)) == [(0, "Be kind.", 2)]


async def test_so_many_words_are_said_as_the_script_tells() -> None:
    engine = await loaded(ScriptedBehaviour(tokens=30))
    events = await collect(engine, ask())
    assert "".join(text for _, text, _ in deltas_of(events)).startswith("The quick brown fox")
    assert finished_of(events).usage.output_token_count == 30


async def test_an_answer_without_words_ends_at_once() -> None:
    events = await collect(await loaded(ScriptedBehaviour(tokens=0, first_seconds=5)), ask())
    assert [type(event) for _, event in events] == [Started, Finished]
    finished = finished_of(events)
    assert finished.usage.output_token_count == 0
    assert finished.timings.first_token_seconds is None


# Limits


async def test_prompt_tokens_are_words_and_four_a_message() -> None:
    engine = await loaded()
    messages = said((Role.SYSTEM, "Be kind."), (Role.USER, " one\ttwo \n three "), (Role.USER, ""))
    request = GenerationRequest("r1", "", messages, DEFAULTS, is_streamed=True)
    assert (await engine.count_tokens(request)).prompt_token_count == 2 + 3 + 3 * 4
    assert finished_of(await collect(engine, request)).usage.prompt_token_count == 17


async def test_a_prompt_that_leaves_no_room_is_refused_and_still_counted() -> None:
    engine = await loaded(ScriptedBehaviour(context_length=9))
    assert (await engine.prepare(ask("one two three four"))).max_output_tokens == 1
    with pytest.raises(PalaverError) as caught:
        await engine.prepare(ask("one two three four five"))
    error = caught.value
    assert error.reason is Reason.PROMPT_TOO_LONG
    assert [violation.field for violation in error.violations] == ["chat.messages"]
    assert error.metadata == {"prompt_token_count": "9", "context_length": "9"}
    assert (await engine.count_tokens(ask("one two three four five"))).prompt_token_count == 9


async def test_more_output_than_the_context_is_long_is_refused_by_field() -> None:
    engine = await loaded(ScriptedBehaviour(context_length=20))
    with pytest.raises(PalaverError) as caught:
        await engine.prepare(ask(options=GenerationOptions(max_output_tokens=21)))
    assert caught.value.reason is Reason.INVALID_FIELD
    assert [violation.field for violation in caught.value.violations] == ["chat.options.max_output_tokens"]


@pytest.mark.parametrize(("asked", "effective"), [(None, 11), (20, 11), (11, 11), (3, 3)])
async def test_output_is_clamped_to_what_the_context_leaves(asked: int | None, effective: int) -> None:
    engine = await loaded(ScriptedBehaviour(context_length=20, tokens=100))
    events = await collect(engine, ask(options=GenerationOptions(max_output_tokens=asked)))
    assert events[0][1] == Started(9, effective)
    finished = finished_of(events)
    assert finished.choices[0].finish_reason is FinishReason.LENGTH
    assert finished.usage.output_token_count == effective


# Times


async def test_tokens_come_at_their_times() -> None:
    engine = await loaded(ScriptedBehaviour(first_seconds=2, interval_seconds=0.5))
    events = await collect(engine, ask("one two three"))
    assert events[0][1] == Started(7, 8185)
    assert events[0][0] == 0
    assert deltas_of(events) == [(2, "one", 1), (2.5, " two", 1), (3, " three", 1)]
    timings = finished_of(events).timings
    assert timings.queue_seconds == 0
    assert timings.first_token_seconds == pytest.approx(2)
    assert timings.total_seconds == pytest.approx(3)


async def test_an_answer_that_is_not_streamed_is_one_delta_at_its_end() -> None:
    engine = await loaded(ScriptedBehaviour(first_seconds=2, interval_seconds=0.5))
    assert deltas_of(await collect(engine, ask("one two three", is_streamed=False))) == [(3, "one two three", 3)]


async def test_a_late_reader_gets_all_that_is_due_in_one_delta_and_the_times_stay() -> None:
    engine = await loaded(ScriptedBehaviour(interval_seconds=1))
    events = await begin(engine, ask("a b c d e f"))
    began = now()
    assert await anext(events) == Delta("a", 1)
    await asyncio.sleep(3.5)
    assert await anext(events) == Delta(" b c d", 3)
    assert await anext(events) == Delta(" e", 1)
    assert now() - began == pytest.approx(4)
    await events.aclose()


async def test_a_very_late_reader_gets_deltas_of_bounded_size() -> None:
    engine = await loaded(ScriptedBehaviour(interval_seconds=0.001, tokens=1000))
    events = await begin(engine, ask())
    await asyncio.sleep(10)
    counts = [event.token_count async for event in events if isinstance(event, Delta)]
    assert sum(counts) == 1000
    assert max(counts) == MAX_MERGED_TOKENS


async def test_nothing_is_written_ahead_of_the_reader() -> None:
    engine = await loaded(ScriptedBehaviour(tokens=1000, fail_after_tokens=3))
    events = await begin(engine, ask())
    await asyncio.sleep(100)
    assert [await anext(events) for _ in range(3)] == [Delta("The", 1), Delta(" quick", 1), Delta(" brown", 1)]
    with pytest.raises(PalaverError):
        await anext(events)


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_a_time_limit_ends_the_answer_with_the_text_so_far(is_streamed: bool) -> None:
    engine = await loaded(ScriptedBehaviour(first_seconds=1, interval_seconds=1))
    events = await collect(engine, ask(options=GenerationOptions(time_limit_seconds=3.5), is_streamed=is_streamed))
    assert "".join(text for _, text, _ in deltas_of(events)) == "one two three"
    assert events[-1][0] == 3.5
    assert finished_of(events).choices[0].finish_reason is FinishReason.TIME_LIMIT
    assert finished_of(events).usage.output_token_count == 3


async def test_a_time_limit_may_pass_before_the_first_token() -> None:
    engine = await loaded(ScriptedBehaviour(first_seconds=5))
    events = await collect(engine, ask(options=GenerationOptions(time_limit_seconds=1)))
    assert [(at, type(event)) for at, event in events] == [(0, Started), (1, Finished)]


async def test_a_time_limit_gives_out_what_was_held_back_for_a_stop_sequence() -> None:
    engine = await loaded(ScriptedBehaviour(interval_seconds=1))
    options = GenerationOptions(time_limit_seconds=1.5, stop_sequences=(" two three",))
    assert deltas_of(await collect(engine, ask(options=options))) == [(0, "one", 1), (1.5, " two", 1)]


async def test_a_time_limit_ends_an_answer_without_intervals_whose_reader_is_slow() -> None:
    engine = await loaded()
    events = await begin(engine, ask(options=GenerationOptions(time_limit_seconds=1)))
    assert await anext(events) == Delta("one", 1)
    await asyncio.sleep(2)
    finished = await anext(events)
    assert isinstance(finished, Finished)
    assert finished.choices[0].finish_reason is FinishReason.TIME_LIMIT
    assert finished.timings.total_seconds == 0


# Faults


@pytest.mark.parametrize("interval", [0, 1])
@pytest.mark.parametrize("count", [0, 2, 5])
async def test_a_failure_comes_after_so_many_tokens_and_the_engine_lives_on(count: int, interval: float) -> None:
    engine = await loaded(ScriptedBehaviour(fail_after_tokens=count, interval_seconds=interval))
    events = await begin(engine, ask())
    assert [await anext(events) for _ in range(count)] == [Delta(word, 1) for word in split_words(TEXT)][:count]
    with pytest.raises(PalaverError) as caught:
        await anext(events)
    assert caught.value.reason is Reason.GENERATION_FAILED
    assert engine.running_count == 0
    assert await engine.prepare(ask())


async def test_a_late_reader_gets_what_was_written_before_the_fault() -> None:
    engine = await loaded(ScriptedBehaviour(fail_after_tokens=3, interval_seconds=1))
    events = await begin(engine, ask("a b c d"))
    assert await anext(events) == Delta("a", 1)
    await asyncio.sleep(10)
    assert await anext(events) == Delta(" b c", 2)
    with pytest.raises(PalaverError):
        await anext(events)


async def test_an_answer_shorter_than_the_fault_has_none() -> None:
    engine = await loaded(ScriptedBehaviour(fail_after_tokens=6, hang_after_tokens=7, die_after_tokens=8))
    assert finished_of(await collect(engine, ask())).usage.output_token_count == 5


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_a_hanging_answer_stands_still_until_it_is_cancelled(is_streamed: bool) -> None:
    engine = await loaded(ScriptedBehaviour(hang_after_tokens=2))
    call = asyncio.create_task(collect(engine, ask(is_streamed=is_streamed)))
    await asyncio.sleep(1e6)
    assert not call.done()
    assert engine.running_count == 1
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    assert engine.running_count == 0


async def test_a_hanging_answer_ends_at_its_time_limit() -> None:
    engine = await loaded(ScriptedBehaviour(hang_after_tokens=2))
    events = await collect(engine, ask(options=GenerationOptions(time_limit_seconds=3)))
    assert [at for at, _ in events] == [0, 0, 0, 3]
    assert finished_of(events).choices[0].finish_reason is FinishReason.TIME_LIMIT


async def test_when_the_engine_dies_all_answers_end_at_once_and_it_is_told() -> None:
    engine = await loaded(ScriptedBehaviour(die_after_tokens=3, interval_seconds=1))
    failed = asyncio.create_task(engine.wait_failed())
    prompt = await engine.prepare(ask())
    long_ago = asyncio.create_task(collect(engine, ask()))
    await asyncio.sleep(1.5)
    waiting = asyncio.create_task(collect(engine, ask()))
    unread = await begin(engine, ask())
    results = await asyncio.gather(long_ago, waiting, return_exceptions=True)
    assert now() == pytest.approx(2)
    for result in results:
        assert isinstance(result, PalaverError)
        assert result.reason is Reason.ENGINE_UNAVAILABLE
        assert result.retry_after_seconds
    assert "died after 3 tokens" in await failed
    with pytest.raises(PalaverError) as caught:
        await anext(unread)
    assert caught.value.reason is Reason.ENGINE_UNAVAILABLE
    assert engine.running_count == 0
    with pytest.raises(PalaverError):
        await engine.prepare(ask())
    with pytest.raises(PalaverError):
        await anext(engine.generate(prompt))
    await engine.shutdown()
    assert "died" in await engine.wait_failed()


async def test_shutting_down_ends_all_answers_and_is_no_failure() -> None:
    engine = await loaded(ScriptedBehaviour(hang_after_tokens=0))
    call = asyncio.create_task(collect(engine, ask()))
    failed = asyncio.create_task(engine.wait_failed())
    await asyncio.sleep(1)
    await engine.shutdown()
    engine.kill()
    await engine.shutdown()
    with pytest.raises(PalaverError) as caught:
        await call
    assert caught.value.reason is Reason.ENGINE_UNAVAILABLE
    await asyncio.sleep(1)
    assert not failed.done()
    failed.cancel()


async def test_shutting_down_before_the_load_is_harmless() -> None:
    await ScriptedEngine().shutdown()


# Leaving, fairness, speed


async def test_closing_an_answer_frees_the_engine_at_once() -> None:
    engine = await loaded(ScriptedBehaviour(tokens=10**6, context_length=10**7))
    async with aclosing(await begin(engine, ask())) as events:
        assert await anext(events) == Delta("The", 1)
        assert engine.running_count == 1
    assert engine.running_count == 0


async def test_cancelling_a_waiting_reader_takes_no_time() -> None:
    engine = await loaded(ScriptedBehaviour(first_seconds=1000))
    call = asyncio.create_task(collect(engine, ask()))
    await asyncio.sleep(1)
    call.cancel()
    await asyncio.wait([call])
    assert now() == 1
    assert engine.running_count == 0


@pytest.mark.parametrize("interval", [0, 1e-9])
@pytest.mark.parametrize("is_streamed", [True, False])
async def test_an_answer_without_waits_lets_others_run(interval: float, is_streamed: bool) -> None:
    engine = await loaded(ScriptedBehaviour(tokens=10**5, context_length=10**6, interval_seconds=interval))
    events = await begin(engine, ask(is_streamed=is_streamed))
    await asyncio.sleep(1)  # every token is due

    async def read() -> list[Event]:
        return [event async for event in events]

    long = asyncio.create_task(read())
    turns = 0
    while not long.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10**5 / max(TOKENS_PER_TURN, MAX_MERGED_TOKENS)
    assert sum(event.token_count for event in await long if isinstance(event, Delta)) == 10**5


async def test_answers_that_run_together_advance_together() -> None:
    engine = await loaded(ScriptedBehaviour(tokens=1000))
    counts = [0] * 10

    async def read(index: int) -> None:
        async for event in await begin(engine, ask()):
            counts[index] += isinstance(event, Delta)
            assert max(counts) - min(counts) <= 2 * TOKENS_PER_TURN

    await asyncio.gather(*(read(index) for index in range(10)))
    assert counts == [1000] * 10


async def test_tokens_come_far_faster_than_any_model_writes() -> None:
    engine = await loaded(ScriptedBehaviour(tokens=50_000, context_length=10**6))
    began = time.perf_counter()
    assert len(await collect(engine, ask())) == 50_002
    per_second = 50_000 / (time.perf_counter() - began)
    assert per_second > 10_000, "ten times slower than it is on a laptop"


# The script itself


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tokens", -1),
        ("interval_seconds", -0.1),
        ("first_seconds", float("nan")),
        ("load_seconds", float("inf")),
        ("context_length", 0),
        ("fail_after_tokens", -1),
        ("hang_after_tokens", -1),
        ("die_after_tokens", -1),
    ],
)
def test_a_script_out_of_range_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{field} must be"):
        ScriptedBehaviour(**{field: value})  # type: ignore[arg-type]


async def test_a_prompt_of_another_engine_is_refused() -> None:
    class Stranger:
        prompt_token_count = max_output_tokens = 1

    engine = await loaded()
    with pytest.raises(TypeError, match="Stranger"):
        await anext(engine.generate(Stranger()))


async def test_choices_say_the_same_interleaved() -> None:
    request = replace(
        ask("one two three", GenerationOptions(choice_count=2)), response_options=ResponseOptions(running_usage=True)
    )

    events = await collect(await loaded(), request)

    deltas = [event for _, event in events if isinstance(event, Delta)]
    assert [delta.choice_index for delta in deltas] == [0, 1] * 4
    assert [delta.usage.output_token_count for delta in deltas if delta.usage] == [2, 2, 4, 4, 6, 6, 6, 6]
    assert [delta.end for delta in deltas] == [None] * 6 + list(finished_of(events).choices)
    assert [end.choice_index for end in finished_of(events).choices] == [0, 1]
    assert finished_of(events).usage.output_token_count == 6


async def test_tokens_are_gathered_into_deltas() -> None:
    events = await collect(await loaded(), replace(ask("one two three four five six"), min_tokens_per_delta=2))

    assert [tokens for _, _, tokens in deltas_of(events)] == [1, 2, 2, 1]
