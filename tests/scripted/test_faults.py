"""What goes wrong with a scripted engine, as its script says, and how it ends."""

from __future__ import annotations

import asyncio

import pytest

from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.events import Delta, FinishReason
from palaver_server.core.options import GenerationOptions
from palaver_server.engine.scripted.behaviour import ScriptedBehaviour
from palaver_server.engine.scripted.engine import ScriptedEngine
from palaver_server.engine.scripted.words import split_words
from tests.scripted.asking import TEXT, ask, begin, collect, finished_of, loaded, now


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
