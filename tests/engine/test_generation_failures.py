"""What becomes of a request on which vLLM fails, as it is added or while it runs."""

from __future__ import annotations

import asyncio
import warnings
from types import SimpleNamespace
from typing import Any

import pytest

from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.events import Started

with warnings.catch_warnings():  # vLLM's dependencies warn of each other while they are imported
    warnings.simplefilter("ignore")
    from vllm.exceptions import VLLMValidationError
    from vllm.outputs import CompletionOutput, RequestOutput
    from vllm.sampling_params import RequestOutputKind, SamplingParams
    from vllm.v1.engine.exceptions import EngineDeadError

    from palaver_server.engine.vllm.answer.collector import Collector
    from palaver_server.engine.vllm.answer.delta_stage import DeltaStage
    from palaver_server.engine.vllm.answer.generations import Generations
    from palaver_server.engine.vllm.answer.pulse import Pulse
    from palaver_server.engine.vllm.prompt.vllm_prompt import VllmPrompt


class Llm:
    """Takes a request, or fails to, and is told what is given up."""

    errored = False

    def __init__(self, failure: Exception | None = None) -> None:
        self.output_processor = SimpleNamespace(abort_requests=lambda *_: [])
        self.collector = Collector(RequestOutputKind.DELTA, "the engine's own id")
        self.given_up: list[str] = []
        self._failure = failure

    async def add_request(self, *_: Any, **__: Any) -> Collector:
        if self._failure is not None:
            raise self._failure
        return self.collector

    async def abort(self, request_id: str, *, internal: bool) -> None:
        assert internal
        self.given_up.append(request_id)


def begun(llm: Llm) -> Any:
    request: Any = SimpleNamespace(
        request_id="asked",
        field_prefix="chat.",
        priority=0,
        response_options=SimpleNamespace(running_usage=False),
        milestones=SimpleNamespace(given_up_token_count=None),
    )
    unused: Any = None
    prompt = VllmPrompt(
        request=request,
        options=unused,
        engine_input=unused,
        params=SamplingParams(),
        hints={},
        started=Started(3, 7),
        new_stage=DeltaStage,
        convert_prompt_logprobs=lambda _: (),
        ends_at=None,
    )
    made: Any = llm
    return Generations(made, Pulse()).run(prompt)


def first_output() -> RequestOutput:
    return RequestOutput("asked", None, [5], None, [CompletionOutput(0, "a", [1], None, None)], finished=False)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (ValueError("of vLLM's own"), Reason.GENERATION_FAILED),
        (RuntimeError("of vLLM's own"), Reason.GENERATION_FAILED),
        (EngineDeadError(), Reason.ENGINE_UNAVAILABLE),
        (VLLMValidationError("too high", parameter="top_p"), Reason.INVALID_FIELD),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("is_running", [False, True], ids=["as it is added", "while it runs"])
async def test_a_failure_has_its_reason(failure: Exception, reason: Reason, *, is_running: bool) -> None:
    llm = Llm(None if is_running else failure)
    events = begun(llm)
    if is_running:
        await anext(events)
        llm.collector.put(first_output())
        await anext(events)
        llm.collector.put(failure)
    with pytest.raises(PalaverError) as caught:
        await anext(events)
    assert caught.value.reason is reason
    if reason is Reason.INVALID_FIELD:
        assert caught.value.violations[0].field == "chat.options.top_p"
    can_be_told = is_running and reason is not Reason.ENGINE_UNAVAILABLE
    assert llm.given_up == (["the engine's own id"] if can_be_told else [])


@pytest.mark.parametrize("has_begun", [False, True], ids=["before the first token", "in the middle"])
async def test_who_leaves_has_the_engine_give_it_up_once(*, has_begun: bool) -> None:
    llm = Llm()
    events = begun(llm)
    await anext(events)
    if has_begun:
        llm.collector.put(first_output())
        await anext(events)
    waiting = asyncio.create_task(anext(events))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await events.aclose()
    assert llm.given_up == ["the engine's own id"]


@pytest.mark.parametrize("piece_count", [0, 1])
async def test_who_closes_between_two_events_has_it_given_up_too(piece_count: int) -> None:
    llm = Llm()
    events = begun(llm)
    await anext(events)
    for _ in range(piece_count):
        llm.collector.put(first_output())
        await anext(events)
    await events.aclose()
    assert llm.given_up == ["the engine's own id"]
