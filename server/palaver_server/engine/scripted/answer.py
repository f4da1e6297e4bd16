"""One answer of the scripted engine while it is being written: its text, its tokens, its times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from palaver_server.core.events import ChoiceEnd, Delta, Finished, FinishReason, Started, Timings, Usage
from palaver_server.engine.scripted.stop_filter import StopFilter
from palaver_server.engine.scripted.words import split_words, write_words


@dataclass(frozen=True, slots=True)
class ScriptedPrompt:
    """A request that the scripted engine has counted and accepted."""

    started: Started
    """The answer's first event."""
    prompt_text: str
    """What the conversation was rendered to."""
    text: str
    """What the answer repeats."""
    tokens: int | None
    """How many words to write instead of the text."""
    stop_sequences: tuple[str, ...]
    time_limit_seconds: float
    """Infinite where there is no limit."""
    is_streamed: bool
    choice_count: int = 1
    has_running_usage: bool = False
    min_tokens_per_delta: int = 1
    """First and last delta excepted."""

    @property
    def prompt_token_count(self) -> int:
        """Words of the conversation, and what its layout costs."""
        return self.started.prompt_token_count

    @property
    def max_output_tokens(self) -> int:
        """The effective number, after defaults and clamping."""
        return self.started.max_output_tokens

    def words(self) -> Iterator[str]:
        """Give the answer's words, were it never cut short."""
        return split_words(self.text) if self.tokens is None else write_words(self.tokens)


class ScriptedAnswer:
    """Writes words and gives them out as deltas, cut at the first stop sequence."""

    def __init__(self, prompt: ScriptedPrompt, began: float) -> None:
        self.began = began
        """When the engine took the request, in the event loop's time; all times here are of it."""
        self.deadline = began + prompt.time_limit_seconds
        self.token_count = 0
        """Tokens written so far, those of a stop sequence included."""
        self._prompt = prompt
        self._words = prompt.words()
        self._next_word = next(self._words, None)
        self._first_at: float | None = None
        self._last_at = began
        self._filter = StopFilter(prompt.stop_sequences)
        self._pending: list[str] = []
        self._given_count = 0

    @property
    def held_tokens(self) -> int:
        """What a KV cache would hold of it: the prompt, and what is written so far."""
        return self._prompt.prompt_token_count + self.token_count

    def reason_to_end(self) -> FinishReason | None:
        """Tell why nothing more is to be written; None if there is more."""
        if self._filter.matched is not None or self._next_word is None:
            return FinishReason.STOP
        return FinishReason.LENGTH if self.token_count >= self._prompt.max_output_tokens else None

    def write(self, now: float) -> None:
        """Write the next token, if there is one."""
        if self._next_word is None:
            return
        if self._first_at is None:
            self._first_at = now
        self._last_at = now
        self.token_count += 1
        if text := self._filter.feed(self._next_word):
            self._pending.append(text)
        self._next_word = next(self._words, None)

    def take(self) -> Delta | None:
        """Give the text since the last time, if it is enough; tokens whose text is held back count in a later delta."""
        if self._given_count and self.token_count - self._given_count < self._prompt.min_tokens_per_delta:
            return None
        return self._take_all()

    def _take_all(self) -> Delta | None:
        if not self._pending:
            return None
        delta = Delta("".join(self._pending), self.token_count - self._given_count)
        self._pending.clear()
        self._given_count = self.token_count
        return delta

    def take_last(self) -> Delta | None:
        """Give all text that is left: nothing is written any more."""
        if held := self._filter.flush():
            self._pending.append(held)
        return self._take_all()

    def usage(self) -> Usage:
        """Count the tokens so far, of all choices: each says the same."""
        return Usage(self._prompt.prompt_token_count, self.token_count * self._prompt.choice_count)

    def finish(self, reason: FinishReason) -> Finished:
        """Sum the answer up."""
        return Finished(
            tuple(ChoiceEnd(reason, self._filter.matched, index) for index in range(self._prompt.choice_count)),
            self.usage(),
            Timings(
                queue_seconds=0.0,
                first_token_seconds=None if self._first_at is None else self._first_at - self.began,
                total_seconds=self._last_at - self.began,
            ),
        )
