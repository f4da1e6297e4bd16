"""How many steps of the engine go to a front end together: one while that costs little, more when there are many."""

from __future__ import annotations

MESSAGES_PER_SECOND = 500
"""What a front end writes with a twentieth to a tenth of a core, at 100 to 200 microseconds for a message all in all.
Below that, nothing is held back; above it, as many tokens go together as bring the messages down to it."""
STREAMS_PER_TOKEN = 4
"""A further token is held back for so many streams: with few of them there is nothing worth saving."""
TIMELY_SHARE = 0.97
"""Of the bound, filled with steps as long as the last ones were. The rest is for steps that take a little longer."""
MAX_TOKENS = 64
"""Beyond that a message's share of a token is no longer seen."""
NEWEST_WEIGHT = 0.2
"""Of the last step's length, in what the next one is taken to last: lengths of steps vary with what is in them."""


class Pace:
    """Follows the steps of one engine, for the streams of one front end.

    Args:
        max_delay_seconds: the longest that a token is to be held back.
    """

    def __init__(self, max_delay_seconds: float) -> None:
        self._max_delay = max_delay_seconds
        self._step_seconds = max_delay_seconds
        self._stepped_at: float | None = None
        self._wanted = 1

    def step(self, now: float, stream_count: int) -> None:
        """Note that the engine has made a step.

        Args:
            now: when, in seconds of any clock that only goes forward.
            stream_count: how many streams it has written a token of.
        """
        if self._stepped_at is not None:
            # An engine that had nothing to do has made no long step.
            seconds = min(now - self._stepped_at, self._max_delay)
            self._step_seconds += NEWEST_WEIGHT * (seconds - self._step_seconds)
        self._stepped_at = now
        steps_per_second = 1 / max(self._step_seconds, 1e-6)
        for_the_load = -(-stream_count * steps_per_second // MESSAGES_PER_SECOND)
        self._wanted = int(min(for_the_load, stream_count // STREAMS_PER_TOKEN, MAX_TOKENS))

    def is_full(self, step_count: int, waited_seconds: float) -> bool:
        """Whether what is held is to go out now rather than after the next step.

        Args:
            step_count: how many steps are held, the last one included.
            waited_seconds: for how long the first of them has been.
        """
        next_waits = waited_seconds + self._step_seconds
        return step_count >= self._wanted or next_waits > TIMELY_SHARE * self._max_delay
