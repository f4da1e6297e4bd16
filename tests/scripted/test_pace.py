"""When a scripted engine says it. Times are exact: they are virtual."""

from __future__ import annotations

import asyncio

import pytest

from palaver_server.core.errors import PalaverError
from palaver_server.core.events import Delta, Finished, FinishReason, Started
from palaver_server.core.options import GenerationOptions
from palaver_server.engine.scripted.behaviour import ScriptedBehaviour
from palaver_server.engine.scripted.engine import MAX_MERGED_TOKENS
from tests.scripted.asking import ask, begin, collect, deltas_of, finished_of, loaded, now


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
