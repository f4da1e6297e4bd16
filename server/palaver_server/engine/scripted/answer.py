"""One answer of the scripted engine while it is being written: its choices, its tokens, its times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from palaver_server.core.events import Delta, Finished, FinishReason, Timings, Usage
from palaver_server.engine.scripted.choice import ScriptedChoice
from palaver_server.engine.scripted.prompt import ScriptedPrompt


class ScriptedAnswer:
    """Writes all choices together, a token each at a time, until each has come to its own end."""

    def __init__(self, prompt: ScriptedPrompt, began: float) -> None:
        self.began = began
        """When the engine took the request, in the event loop's time; all times here are of it."""
        self.deadline = began + prompt.time_limit_seconds
        self.token_count = 0
        """Tokens of the longest choice so far."""
        self._prompt = prompt
        self._choices = [ScriptedChoice(index, prompt) for index in range(prompt.choice_count)]
        self._running = self._choices
        self._first_at: float | None = None
        self._last_at = began

    @property
    def held_tokens(self) -> int:
        """What a KV cache would hold of it: the prompt, and what is written so far."""
        return self._prompt.prompt_token_count + self.output_token_count

    def is_over(self) -> bool:
        """Tell whether nothing more is to be written."""
        self._running = [choice for choice in self._running if choice.end is None]
        return not self._running

    def write(self, now: float) -> None:
        """Write the next token of each choice that has one, if the answer is not over."""
        if self._first_at is None:
            self._first_at = now
        self._last_at = now
        self.token_count += 1
        for choice in self._running:
            choice.write()

    def take(self) -> Iterator[Delta]:
        """Give what was written since the last time, where it is enough."""
        return self._counted(choice.take() for choice in self._choices)

    def close(self, reason: FinishReason) -> Iterator[Delta]:
        """End, for this reason where there is none yet, and give all that is left."""
        return self._counted([choice.close(reason) for choice in self._choices])

    def finish(self) -> Finished:
        """Sum the answer up, once it is closed."""
        return Finished(
            tuple(choice.ending() for choice in self._choices),
            self._usage(),
            Timings(
                queue_seconds=0.0,
                first_token_seconds=None if self._first_at is None else self._first_at - self.began,
                total_seconds=self._last_at - self.began,
            ),
        )

    def _counted(self, deltas: Iterable[Delta | None]) -> Iterator[Delta]:
        for delta in deltas:
            if delta is not None:
                if self._prompt.has_running_usage:
                    delta.usage = self._usage()
                yield delta

    def _usage(self) -> Usage:
        return Usage(
            self._prompt.prompt_token_count,
            self.output_token_count,
            reasoning_token_count=sum(choice.reasoning_token_count for choice in self._choices),
        )

    @property
    def output_token_count(self) -> int:
        """Tokens of all choices so far."""
        return sum(choice.token_count for choice in self._choices)
