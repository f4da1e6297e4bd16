"""Running one request after another through vLLM, each from its first token to its end, whatever ends it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

from vllm.outputs import RequestOutput
from vllm.v1.engine.async_llm import AsyncLLM

from palaver_server.core.events import Event
from palaver_server.engine.vllm.answer.given_up import GivenUp
from palaver_server.engine.vllm.answer.pulse import Pulse
from palaver_server.engine.vllm.answer.tally import Tally
from palaver_server.engine.vllm.errors import engine_unavailable, translated
from palaver_server.engine.vllm.prompt.vllm_prompt import VllmPrompt


class Generations:
    """The requests that run in one engine. Belongs to one event loop."""

    def __init__(self, llm: AsyncLLM, pulse: Pulse) -> None:
        self._llm = llm
        self._pulse = pulse
        self._given_up = GivenUp(llm.output_processor)
        self._serial = itertools.count()
        self._beginning: set[asyncio.Timeout] = set()
        self._aborts: set[asyncio.Task[None]] = set()

    @property
    def running_count(self) -> int:
        """Requests that are not finished, by vLLM's own count."""
        return self._llm.get_num_unfinished_requests()

    async def run(self, prompt: VllmPrompt) -> AsyncGenerator[Event, None]:
        """Answer; see ``core.engine.Engine.generate``."""
        yield prompt.started
        # A caller may use one id twice, and vLLM aborts by id.
        request_id = f"{prompt.request.request_id}-{next(self._serial)}"
        tally = Tally(prompt)
        # vLLM aborts the request itself when its generator is closed or cancelled.
        outputs = self._llm.generate(
            prompt.engine_input, prompt.params, request_id, priority=prompt.request.priority, **prompt.hints
        )
        try:
            with translated(prompt.request.field_prefix), self._limited(request_id, prompt.ends_at) as limit:
                async with aclosing(outputs):
                    output = await self._first(outputs)
                    tally.see(output)
                    while True:
                        for completion in output.outputs:
                            delta = tally.take(completion)
                            if completion.finish_reason is not None:
                                delta = tally.end(completion, delta, has_timed_out=limit.has_passed)
                            if delta is not None:
                                yield delta
                        if output.finished:
                            break
                        output = await anext(outputs)
                        self._pulse.beats += 1
        finally:
            prompt.request.milestones.given_up_token_count = self._given_up.pop(request_id)
        yield tally.finish(output)

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
