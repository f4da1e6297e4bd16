"""How many tokens of a stream are sent together: one as long as there is time for that, more when the server is full.

A message costs many times what a token costs, and what saves it is that vLLM does not make the output at all. vLLM
asks its ``stream_interval`` at every token whether to make one; here it asks an object that all streams share, so the
answer follows the load from step to step.

The delay is bounded twice: no more tokens go together than the engine has lately made within the bound, and a timer
gives out what is held when the engine slows down all of a sudden. An engine with many streams takes so long for a step
that two of them fill the bound; with a margin of a whole step, nothing would go together just where it saves most.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.output_processor import OutputProcessor

BUSY_SHARE = 0.2
"""Of one core, used by the event loop's thread: above it streams are bundled more, below half of it less. Bundling
twice as much saves at most half, so between the two nothing swings."""
LOOK_SECONDS = 0.05
"""Between two looks at that share; the load of a server does not change faster than its callers come and go."""
STREAMS_PER_TOKEN = 4
"""A further token is held back for so many streams: with few of them there is nothing worth saving."""
TIMELY_SHARE = 0.9
"""Of the bound, filled with steps as long as the last ones were. The rest is for steps that take a little longer: where
the timer gives tokens out just before the step that would have, they have waited and nothing was put together."""
MAX_TOKENS = 64
"""Beyond that a message's share of a token is no longer seen."""


class Pace:
    """Stands in the place of vLLM's ``stream_interval``, an integer there. Belongs to one event loop.

    A request with an interval of its own, above one, keeps it.

    Args:
        max_delay_seconds: the longest that a token is held back; with 0, none ever is.
        clock: tells the time, in seconds.
        cpu_clock: tells the CPU time of the event loop's thread, in seconds; called in that thread.
    """

    def __init__(
        self,
        max_delay_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self.tokens = 1
        """How many tokens go together now."""
        self._max_delay = max_delay_seconds
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._wanted = 1
        self._steps: deque[float] = deque()  # when the engine's last steps ended, as far back as a token may be held
        self._held_since: float | None = None  # no token that is held came earlier; None where none can be
        self._given_out_at = 0.0
        self._looked_at = clock()
        self._cpu_seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._processor: OutputProcessor | None = None
        self._engine_count = 1

    def __gt__(self, interval: int) -> bool:
        """Vllm asks ``stream_interval > 1``, and takes the greater one of a request's own and this."""
        return interval <= 1

    def __le__(self, token_count: int) -> bool:
        """Vllm asks ``token_count >= stream_interval`` for the tokens that a stream has not been sent yet."""
        return token_count >= self.tokens

    def govern(self, processor: OutputProcessor, engine_count: int) -> None:
        """Decide for all requests that are added from now on.

        Args:
            processor: what makes vLLM's outputs.
            engine_count: how many engines share the requests: only every so manieth step is one of a request's own.
        """
        if self._max_delay > 0 and processor.stream_interval == 1:  # else the operator has chosen another one
            self._processor = processor
            self._engine_count = engine_count
            processor.stream_interval = self  # type: ignore[assignment]  # it is only compared

    def step(self) -> None:
        """Note that the engine has made a step, whose outputs are out or held back already."""
        if self._processor is None:
            return
        now, steps = self._clock(), self._steps
        steps.append(now)
        if self.tokens > 1:
            oldest = steps[-min((self.tokens - 1) * self._engine_count, len(steps))]
            self._held_since = max(self._given_out_at, oldest)
            if self._timer is None:
                self._set_timer(self._held_since)
        else:
            self._held_since = None
        while steps[0] <= now - TIMELY_SHARE * self._max_delay:
            steps.popleft()
        if now - self._looked_at >= LOOK_SECONDS:
            self._look(now, len(self._processor.request_states))
        # The first of so many tokens waits for all steps but its own.
        self.tokens = max(1, min(self._wanted, len(steps) // self._engine_count))

    def _look(self, now: float, running_count: int) -> None:
        """See how much of its thread's time the event loop needs, and ask for more or fewer tokens at a time."""
        cpu_seconds = self._cpu_clock()
        share = (cpu_seconds - self._cpu_seconds) / (now - self._looked_at)
        self._looked_at, self._cpu_seconds = now, cpu_seconds
        if share > BUSY_SHARE:
            if self._wanted <= self.tokens:  # else the time bound holds it down, and more would change nothing
                self._wanted *= 2
        elif share < BUSY_SHARE / 2:
            self._wanted -= 1
        self._wanted = max(1, min(self._wanted, running_count // STREAMS_PER_TOKEN, MAX_TOKENS))

    def _set_timer(self, held_since: float) -> None:
        seconds = held_since + self._max_delay - self._clock()
        self._timer = asyncio.get_running_loop().call_later(max(seconds, 0.0), self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        if self._held_since is None:
            return
        now = self._clock()
        if now < self._held_since + self._max_delay:
            self._set_timer(self._held_since)  # the engine has gone on meanwhile
            return
        self._give_out()
        self._given_out_at, self._held_since = now, None

    def _give_out(self) -> None:
        """Send what is held back."""
        if self._processor is None:
            return
        tokens, self.tokens = self.tokens, 1
        for state in self._processor.request_states.values():
            if state.output_kind is not RequestOutputKind.DELTA or state.queue is None or state.detokenizer is None:
                continue
            has_held = state.detokenizer.num_output_tokens() > state.sent_tokens_offset > 0
            if has_held and (output := state.make_request_output([], None, None, None)) is not None:
                state.queue.put(output)
        self.tokens = tokens
