"""Running one request after another through vLLM, each from its first token to its end, whatever ends it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from vllm.v1.engine.async_llm import AsyncLLM

from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.events import Event
from palaver_server.engine.vllm.answer.collector import Collector, Piece
from palaver_server.engine.vllm.answer.given_up import GivenUp
from palaver_server.engine.vllm.answer.pulse import Pulse
from palaver_server.engine.vllm.answer.tally import Tally
from palaver_server.engine.vllm.errors import engine_unavailable, generating
from palaver_server.engine.vllm.prompt.vllm_prompt import VllmPrompt

if TYPE_CHECKING:
    from vllm.outputs import RequestOutput

T = TypeVar("T")


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
        # A caller may use one id twice, and vLLM aborts by id.
        request_id = f"{prompt.request.request_id}-{next(self._serial)}"
        collector: Collector | None = None
        try:
            with generating(prompt.request.field_prefix), self._limited(request_id, prompt.ends_at) as limit:
                collector = await self._begun(self._add(prompt, request_id))
                # What vLLM refuses only as it is added is refused before the answer has begun, and has its HTTP status.
                yield prompt.started
                tally = Tally(prompt)
                output = await self._begun(collector.get())
                tally.see(cast("RequestOutput", output))  # an answer does not begin with a piece of its middle
                while True:
                    if isinstance(output, Piece):
                        if (delta := tally.take(output)) is not None:
                            yield delta
                    else:
                        for completion in output.outputs:
                            delta = tally.take(completion)
                            if completion.finish_reason is not None:
                                delta = tally.end(completion, delta, has_timed_out=limit.has_passed)
                            if delta is not None:
                                yield delta
                        if output.finished:
                            break
                    output = await collector.get()
                    self._pulse.beats += 1
        except BaseException as error:
            is_gone = isinstance(error, PalaverError) and error.reason is Reason.ENGINE_UNAVAILABLE
            if collector is not None and not is_gone:  # an engine that is gone cannot be asked to give it up
                await self._llm.abort(collector.request_id, internal=True)
            raise
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

    async def _add(self, prompt: VllmPrompt, request_id: str) -> Collector:
        """Hand a request to the engine."""
        return Collector.adopt(
            await self._llm.add_request(
                request_id, prompt.engine_input, prompt.params, priority=prompt.request.priority, **prompt.hints
            )
        )

    async def _begun(self, beginning: Awaitable[T]) -> T:
        """Wait for a request's way into the engine, and for its first output; ``fail`` ends the wait."""
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._beginning.add(scope)
                return await beginning
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
