"""Running one request after another through vLLM, each from its first token to its end, whatever ends it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

from vllm.outputs import CompletionOutput, RequestOutput
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.metrics.stats import RequestStateStats

from palaver_server.core.events import ChoiceEnd, Event, Finished, FinishReason, Started, Timings, Usage
from palaver_server.engine.delta_stage import DeltaStage
from palaver_server.engine.pulse import Pulse
from palaver_server.engine.vllm_errors import engine_unavailable, generation_failed, translated
from palaver_server.engine.vllm_prompt import VllmPrompt


class Generations:
    """The requests that run in one engine. Belongs to one event loop."""

    def __init__(self, llm: AsyncLLM, pulse: Pulse) -> None:
        self._llm = llm
        self._pulse = pulse
        self._serial = itertools.count()
        self._beginning: set[asyncio.Timeout] = set()
        self._aborts: set[asyncio.Task[None]] = set()

    @property
    def running_count(self) -> int:
        """Requests that are not finished, by vLLM's own count."""
        return self._llm.get_num_unfinished_requests()

    async def run(self, prompt: VllmPrompt) -> AsyncGenerator[Event, None]:
        """Answer; see ``core.engine.Engine.generate``."""
        yield Started(prompt.prompt_token_count, prompt.max_output_tokens)
        # A caller may use one id twice, and vLLM aborts by id.
        request_id = f"{prompt.request_id}-{next(self._serial)}"
        stage = DeltaStage()
        # vLLM aborts the request itself when its generator is closed or cancelled.
        outputs = self._llm.generate(prompt.engine_input, prompt.params, request_id)
        with translated(prompt.field_prefix), self._limited(request_id, prompt.ends_at) as limit:
            async with aclosing(outputs):
                output = await self._first(outputs)
                while True:
                    (completion,) = output.outputs
                    if (delta := stage.feed(completion)) is not None:
                        yield delta
                    if output.finished:
                        break
                    output = await anext(outputs)
                    self._pulse.beats += 1
        yield Finished(
            choices=(_choice_end(completion, has_timed_out=limit.has_passed),),
            usage=Usage(prompt.prompt_token_count, stage.token_count, output.num_cached_tokens or 0),
            timings=_timings(output.metrics),
        )

    def fail(self) -> None:
        """End what vLLM would leave waiting when the engine has died.

        vLLM tells every request that it knows at that moment; one that is just being added is told nothing and would
        wait for its first token for ever.
        """
        now = asyncio.get_running_loop().time()
        for scope in self._beginning:
            scope.reschedule(now)

    async def _first(self, outputs: AsyncGenerator[RequestOutput, None]) -> RequestOutput:
        """Wait for the first output; ``fail`` ends the wait."""
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._beginning.add(scope)
                return await anext(outputs)
        except TimeoutError:
            if scope.expired():
                raise engine_unavailable() from None
            raise
        except asyncio.CancelledError:
            # Closing the sockets of a dead engine cancels who is just sending, without anybody's having asked.
            task = asyncio.current_task()
            if self._llm.errored and task is not None and not task.cancelling():
                raise engine_unavailable() from None
            raise
        finally:
            self._beginning.discard(scope)

    @contextmanager
    def _limited(self, request_id: str, ends_at: float | None) -> Iterator[_Limit]:
        """Have the engine give a request up at a time; vLLM then gives out what was written so far."""
        limit = _Limit()
        if ends_at is None:
            yield limit
            return

        def abort() -> None:
            limit.has_passed = True
            task = asyncio.ensure_future(self._llm.abort(request_id))
            self._aborts.add(task)
            task.add_done_callback(self._aborts.discard)

        timer = asyncio.get_running_loop().call_at(ends_at, abort)
        try:
            yield limit
        finally:
            timer.cancel()


@dataclass(slots=True)
class _Limit:
    has_passed: bool = False


def _choice_end(completion: CompletionOutput, *, has_timed_out: bool) -> ChoiceEnd:
    match completion.finish_reason:
        case "stop":
            # An end token has a number here, a stop sequence its text.
            stop = completion.stop_reason
            return ChoiceEnd(FinishReason.STOP, stop if isinstance(stop, str) else None, completion.index)
        case "length":
            return ChoiceEnd(FinishReason.LENGTH, None, completion.index)
        case "abort" if has_timed_out:
            return ChoiceEnd(FinishReason.TIME_LIMIT, None, completion.index)
        case "abort":
            # Nobody here asked for it: the engine is being ended.
            raise engine_unavailable()
        case _:
            raise generation_failed()


def _timings(stats: RequestStateStats | None) -> Timings:
    """Differences of the engine core's own clock; None for what did not happen or is not measured."""
    if stats is None or not stats.queued_ts:
        return Timings()

    def since_queued(moment: float) -> float | None:
        return moment - stats.queued_ts if moment else None

    return Timings(
        queue_seconds=since_queued(stats.scheduled_ts),
        first_token_seconds=since_queued(stats.first_token_ts),
        total_seconds=since_queued(stats.last_token_ts),
    )
