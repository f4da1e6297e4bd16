"""One choice of a scripted answer while it is written: its tokens, and what of them its reader has not had."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from enum import Enum, auto
from itertools import islice
from typing import NamedTuple

from palaver_server.core.events import ChoiceEnd, Delta, FinishReason
from palaver_server.core.tools import ToolCallDelta
from palaver_server.engine.scripted.prompt import ScriptedPrompt
from palaver_server.engine.scripted.script import Call, Filler, Speech, Thought, Utterance
from palaver_server.engine.scripted.stop_filter import StopFilter
from palaver_server.engine.scripted.words import split_words, write_words


class _Kind(Enum):
    TEXT = auto()
    THOUGHT = auto()
    CALL = auto()
    """A call's beginning; its text is the tool's name."""
    ARGUMENTS = auto()
    CALL_END = auto()


class _Token(NamedTuple):
    kind: _Kind
    text: str = ""


_CALL_END = _Token(_Kind.CALL_END)


def _tokens(said: Utterance, thought_budget: int | None) -> Iterator[_Token]:
    """A word a token; a call takes one more for its beginning and one for its end."""
    left = thought_budget
    for place, part in enumerate(said.parts, 1):
        match part:
            case Speech(text):
                yield from (_Token(_Kind.TEXT, word) for word in split_words(text))
            case Filler(count):
                yield from (_Token(_Kind.TEXT, word) for word in write_words(count))
            case Thought(text):
                for word in islice(split_words(text), left):
                    left = None if left is None else left - 1
                    yield _Token(_Kind.THOUGHT, word)
            case Call(name, arguments):
                yield _Token(_Kind.CALL, name)
                yield from (_Token(_Kind.ARGUMENTS, word) for word in split_words(arguments))
                if not (said.is_cut and place == len(said.parts)):
                    yield _CALL_END


class ScriptedChoice:
    """Writes an utterance, token by token, and gives it out as deltas."""

    def __init__(self, index: int, prompt: ScriptedPrompt) -> None:
        self.token_count = 0
        """Tokens written so far, those of a stop sequence included."""
        self.reasoning_token_count = 0
        """Of them, those that are thoughts."""
        self._index = index
        self._prompt = prompt
        said = prompt.turn[index % len(prompt.turn)]
        self._is_cut = said.is_cut
        self._tokens = _tokens(said, prompt.thought_budget)
        self._next = next(self._tokens, None)
        self._filter = StopFilter(prompt.stop_sequences)
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._pieces: list[ToolCallDelta] = []
        self._given_count = 0
        self._call_count = 0
        self._open_call: tuple[str, list[str]] | None = None
        self._end: FinishReason | None = None

    @property
    def end(self) -> FinishReason | None:
        """Why nothing more is to be written; None if there is more."""
        if self._end is not None:
            return self._end
        if self._filter.matched is not None:
            return FinishReason.STOP
        if self._next is None:
            if self._is_cut:
                return FinishReason.LENGTH
            return FinishReason.TOOL_CALLS if self._call_count else FinishReason.STOP
        return FinishReason.LENGTH if self.token_count >= self._prompt.max_output_tokens else None

    def write(self) -> None:
        """Write the next token. Only for a choice that has not ended."""
        token = self._next
        if token is None:
            return
        self.token_count += 1
        self._next = next(self._tokens, None)
        if token.kind is _Kind.TEXT:
            if text := self._filter.feed(token.text):
                self._texts.append(text)
            return
        self._flush()
        if token.kind is _Kind.THOUGHT:
            self.reasoning_token_count += 1
            if self._prompt.has_thoughts:
                self._thoughts.append(token.text)
        else:
            self._write_call(token)

    def take(self) -> Delta | None:
        """Give what was written since the last time, if it is enough; what is not shown counts in a later delta.

        Where there are several choices, the last delta of each tells its end, while others may still be written.
        """
        if self._prompt.choice_count > 1 and (reason := self.end) is not None:
            return self.close(reason)
        if self._given_count and self.token_count - self._given_count < self._prompt.min_tokens_per_delta:
            return None
        return self._take_all()

    def close(self, reason: FinishReason) -> Delta | None:
        """End, for this reason where there is none yet, and give all that is left. Harmless when called again."""
        if self._end is not None:
            return None
        self._end = self.end or reason
        self._flush()
        self._judge(is_cut_off=True)
        last = self._take_all()
        if self._prompt.choice_count > 1:
            last = last or Delta("", self.token_count - self._given_count, self._index)
            last.end = self.ending()
        return last

    def ending(self) -> ChoiceEnd:
        """Tell how the choice ended."""
        return ChoiceEnd(self._end or FinishReason.STOP, self._filter.matched, self._index)

    def _flush(self) -> None:
        """What was held back becomes no stop sequence any more."""
        if held := self._filter.flush():
            self._texts.append(held)

    def _write_call(self, token: _Token) -> None:
        place, most = self._call_count, self._prompt.max_calls
        if token.kind is _Kind.CALL:
            if most is not None and place >= most:
                return
            self._call_count += 1
            self._open_call = token.text, []
            self._pieces.append(ToolCallDelta(place, f"call_{uuid.uuid4().hex}", token.text))
        elif self._open_call is None:  # of a call that is not kept
            return
        elif token.kind is _Kind.ARGUMENTS:
            self._open_call[1].append(token.text)
            self._pieces.append(ToolCallDelta(place - 1, arguments_json=token.text))
        else:
            self._judge(is_cut_off=False)

    def _judge(self, *, is_cut_off: bool) -> None:
        if self._open_call is None:
            return
        name, arguments = self._open_call
        self._open_call = None
        state, problem = self._prompt.judge.judge(name, "".join(arguments), is_cut_off=is_cut_off)
        self._pieces.append(ToolCallDelta(self._call_count - 1, state=state, problem=problem))

    def _take_all(self) -> Delta | None:
        if not (self._texts or self._thoughts or self._pieces):
            return None
        delta = Delta(
            "".join(self._texts),
            self.token_count - self._given_count,
            self._index,
            reasoning="".join(self._thoughts),
            tool_calls=tuple(self._pieces),
        )
        self._texts.clear()
        self._thoughts.clear()
        self._pieces.clear()
        self._given_count = self.token_count
        return delta
