from __future__ import annotations

import asyncio

import pytest

from palaver_server.core.admission import Admission
from palaver_server.core.chat import Chat
from palaver_server.core.conversation import Message, Role, TextPart
from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.events import Delta, Finished, Started
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.loading import Loading
from palaver_server.core.model import LoadPhase, LoadProgress
from palaver_server.core.options import GenerationOptions
from palaver_server.core.readiness import NotReady, Readiness
from palaver_server.engine.scripted.behaviour import ScriptedBehaviour
from palaver_server.engine.scripted.engine import ScriptedEngine

HELLO = "Hello, dear palaver!"


def ask(text: str = HELLO, *, model: str = "", max_output_tokens: int | None = None) -> GenerationRequest:
    return GenerationRequest(
        request_id="r1",
        model=model,
        messages=(Message(Role.USER, (TextPart(text),)),),
        options=GenerationOptions(max_output_tokens=max_output_tokens),
        is_streamed=True,
        field_prefix="chat.",
    )


class House:
    """A chat with all that it needs."""

    def __init__(self, behaviour: ScriptedBehaviour | None = None, *, max_queued: int = 1) -> None:
        clock = asyncio.get_running_loop().time
        self.engine = ScriptedEngine(behaviour)
        self.admission = Admission(max_concurrent=1, max_queued=max_queued, clock=clock)
        self.readiness = Readiness(NotReady.LOADING)
        self.loading = Loading(clock)
        self.chat = Chat(self.engine, self.admission, self.readiness, self.loading, slow_reader_seconds=30.0)

    async def load(self) -> None:
        await self.engine.load(self.loading.report)
        self.readiness.remove(NotReady.LOADING)

    @property
    def is_empty(self) -> bool:
        counts = self.admission.running_count, self.admission.waiting_count, self.engine.running_count
        return counts == (0, 0, 0)

    async def text(self, request: GenerationRequest) -> str:
        async with self.chat.answer(request) as events:
            return "".join([event.text async for event in events if isinstance(event, Delta)])

    async def refusal(self, request: GenerationRequest) -> PalaverError:
        with pytest.raises(PalaverError) as caught:
            await self.text(request)
        assert self.is_empty
        return caught.value


async def open_house(behaviour: ScriptedBehaviour | None = None, *, max_queued: int = 1) -> House:
    house = House(behaviour, max_queued=max_queued)
    await house.load()
    return house


async def test_an_answer_begins_once_ends_once_and_frees_its_place() -> None:
    house = await open_house()
    async with house.chat.answer(ask()) as events:
        assert house.admission.running_count == 1
        seen = [event async for event in events]
    assert isinstance(seen[0], Started)
    assert isinstance(seen[-1], Finished)
    assert {type(event) for event in seen[1:-1]} == {Delta}
    assert house.is_empty


async def test_the_served_model_may_be_named_or_left_out() -> None:
    house = await open_house()
    assert await house.text(ask(model="scripted")) == await house.text(ask(model="")) == HELLO
    assert house.chat.model.model_id == "scripted"


async def test_another_model_is_refused_by_field_also_before_the_load() -> None:
    house = House()
    error = await house.refusal(ask(model="other"))
    assert error.reason is Reason.MODEL_NOT_FOUND
    assert [violation.field for violation in error.violations] == ["chat.model"]
    assert error.metadata == {"model": "scripted"}
    assert error.retry_after_seconds is None


async def test_a_loading_model_tells_how_far_it_is_and_when_to_come_back() -> None:
    house = House(ScriptedBehaviour(load_seconds=20))
    loading = asyncio.create_task(house.load())
    await asyncio.sleep(10.5)
    error = await house.refusal(ask())
    assert error.reason is Reason.MODEL_LOADING
    assert error.metadata == {"phase": "STARTING_ENGINE", "percent": "50"}
    assert error.retry_after_seconds is not None
    await asyncio.sleep(error.retry_after_seconds)
    assert await house.text(ask()) == HELLO
    await loading


async def test_a_model_that_could_not_be_loaded_is_unavailable() -> None:
    house = House()
    house.loading.report(LoadProgress(LoadPhase.FAILED, 0.5))
    error = await house.refusal(ask())
    assert error.reason is Reason.ENGINE_UNAVAILABLE
    assert error.retry_after_seconds is None


async def test_a_draining_server_takes_no_new_call_and_finishes_the_old() -> None:
    house = await open_house(ScriptedBehaviour(interval_seconds=1))
    old = asyncio.create_task(house.text(ask()))
    await asyncio.sleep(0.5)
    house.readiness.add(NotReady.DRAINING)
    with pytest.raises(PalaverError) as caught:
        await house.text(ask())
    assert caught.value.reason is Reason.SERVER_DRAINING
    assert caught.value.retry_after_seconds
    assert await old == HELLO


async def test_a_failed_engine_is_told_before_draining_and_loading() -> None:
    house = House()
    house.readiness.add(NotReady.DRAINING)
    house.readiness.add(NotReady.ENGINE_FAILED)
    error = await house.refusal(ask())
    assert error.reason is Reason.ENGINE_UNAVAILABLE
    assert error.retry_after_seconds


async def test_a_full_server_refuses_and_serves_those_in_its_queue() -> None:
    house = await open_house(ScriptedBehaviour(interval_seconds=1))
    served = [asyncio.create_task(house.text(ask())) for _ in range(2)]
    await asyncio.sleep(0.5)
    with pytest.raises(PalaverError) as caught:
        await house.text(ask())
    assert caught.value.reason is Reason.SERVER_OVERLOADED
    assert await asyncio.gather(*served) == [HELLO, HELLO]
    assert house.is_empty


async def test_the_place_is_freed_when_the_prompt_is_refused() -> None:
    house = await open_house(ScriptedBehaviour(context_length=6))
    assert (await house.refusal(ask())).reason is Reason.PROMPT_TOO_LONG


async def test_the_place_is_freed_when_the_engine_fails_midway() -> None:
    house = await open_house(ScriptedBehaviour(fail_after_tokens=2))
    assert (await house.refusal(ask())).reason is Reason.GENERATION_FAILED
    assert await house.text(ask("One.")) == "One."


async def test_the_place_is_freed_when_the_caller_leaves_midway() -> None:
    house = await open_house(ScriptedBehaviour(tokens=1000))
    async with house.chat.answer(ask()) as events:
        async for event in events:
            if isinstance(event, Delta):
                break
        assert house.engine.running_count == 1
    assert house.is_empty


async def test_the_place_is_freed_when_the_caller_is_cancelled_while_the_engine_thinks() -> None:
    house = await open_house(ScriptedBehaviour(hang_after_tokens=1))
    call = asyncio.create_task(house.text(ask()))
    await asyncio.sleep(1)
    assert house.engine.running_count == 1
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert call.cancelled()
    assert house.is_empty


async def test_a_caller_cancelled_in_the_queue_never_reaches_the_engine() -> None:
    house = await open_house(ScriptedBehaviour(hang_after_tokens=0))
    first, second = (asyncio.create_task(house.text(ask())) for _ in range(2))
    await asyncio.sleep(1)
    assert (house.admission.running_count, house.admission.waiting_count) == (1, 1)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert (house.admission.waiting_count, house.engine.running_count) == (0, 1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert house.is_empty


async def test_all_calls_end_when_the_engine_dies_those_in_the_queue_too() -> None:
    house = await open_house(ScriptedBehaviour(die_after_tokens=1, interval_seconds=1), max_queued=5)
    calls = [asyncio.create_task(house.text(ask())) for _ in range(6)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [result.reason for result in results if isinstance(result, PalaverError)] == [Reason.ENGINE_UNAVAILABLE] * 6
    assert house.is_empty


async def test_tokens_are_counted_as_an_answer_would_without_a_place() -> None:
    house = await open_house(max_queued=0)
    async with house.chat.answer(ask()) as events:
        started = await anext(events)
        assert isinstance(started, Started)
        assert (await house.chat.count_tokens(ask())).prompt_token_count == started.prompt_token_count == 7
    with pytest.raises(PalaverError) as caught:
        await house.chat.count_tokens(ask(model="other"))
    assert caught.value.reason is Reason.MODEL_NOT_FOUND


async def test_calls_are_still_taken_while_balancers_are_told_to_leave() -> None:
    house = await open_house()
    house.readiness.add(NotReady.LEAVING)
    assert await house.text(ask()) == HELLO


async def test_draining_waits_for_the_calls_that_run_and_no_longer() -> None:
    house = await open_house(ScriptedBehaviour(interval_seconds=1))
    call = asyncio.create_task(house.text(ask()))
    await asyncio.sleep(0.5)
    house.readiness.add(NotReady.DRAINING)
    await house.chat.drain(60)
    assert asyncio.get_running_loop().time() == pytest.approx(2)
    assert await call == HELLO


async def test_draining_ends_what_outlasts_the_grace_those_in_the_queue_too() -> None:
    house = await open_house(ScriptedBehaviour(hang_after_tokens=1), max_queued=5)
    calls = [asyncio.create_task(house.text(ask())) for _ in range(4)]
    await asyncio.sleep(1)
    assert house.chat.running_count == 4
    house.readiness.add(NotReady.DRAINING)
    await house.chat.drain(3)
    assert asyncio.get_running_loop().time() == pytest.approx(4)
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [result.reason for result in results if isinstance(result, PalaverError)] == [Reason.SERVER_DRAINING] * 4
    assert house.chat.running_count == 0
    assert house.is_empty


async def test_a_caller_who_leaves_while_draining_is_cancelled_not_failed() -> None:
    house = await open_house(ScriptedBehaviour(hang_after_tokens=0))
    call = asyncio.create_task(house.text(ask()))
    await asyncio.sleep(1)
    house.readiness.add(NotReady.DRAINING)
    drain = asyncio.create_task(house.chat.drain(10))
    await asyncio.sleep(1)
    call.cancel()
    await asyncio.gather(call, drain, return_exceptions=True)
    assert call.cancelled()
    assert asyncio.get_running_loop().time() == pytest.approx(2)
