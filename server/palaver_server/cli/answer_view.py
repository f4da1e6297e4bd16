"""Writes an answer to standard output while it comes: for people on a terminal, the bare text elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import click
from rich.console import Console

from palaver.v1 import chat_service_pb2
from palaver_client import Answer, Stream

_SPINNER_AFTER_SECONDS = 0.3
"""A faster answer needs no sign of life."""
_NOT_FOR_TERMINALS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
"""Control characters: a model must not move a reader's cursor, set a title or write to the clipboard."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What an answer took, as its reader felt it: measured here, so the way to the server and back is in it."""

    prompt_token_count: int
    cached_token_count: int
    output_token_count: int
    first_seconds: float | None
    """To the first piece; None if none came."""
    last_seconds: float | None
    """To the last piece."""
    total_seconds: float

    def __str__(self) -> str:
        cached = f" ({self.cached_token_count} of them cached)" if self.cached_token_count else ""
        parts = [f"{self.prompt_token_count} prompt tokens{cached}, {self.output_token_count} output tokens"]
        if self.first_seconds is not None and self.last_seconds is not None:
            parts.append(f"first after {self.first_seconds:.2f} s")
            span = self.last_seconds - self.first_seconds
            if span > 0 and self.output_token_count > 1:
                parts.append(f"then {(self.output_token_count - 1) / span:.1f} tokens/s")
        return ", ".join([*parts, f"{self.total_seconds:.2f} s in all"])


class AnswerView:
    """Shows answers, one after another.

    Args:
        is_silent: show nothing while an answer comes; somebody prints it whole.
    """

    def __init__(self, *, is_silent: bool = False) -> None:
        self._is_silent = is_silent
        self._is_terminal = sys.stdout.isatty()
        self.has_begun = False
        """Whether a piece of the latest answer has come, so that it must not be asked for again."""
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")  # an old locale shall cost a character, not the answer

    def show(self, stream: Stream) -> tuple[Answer, Figures]:
        """Read a stream to its end, and show it meanwhile.

        Raises:
            errors.PalaverClientError: the call failed.
        """
        self.has_begun = False
        began = time.monotonic()
        first = last = None
        pieces = _Pieces(is_terminal=self._is_terminal, is_silent=self._is_silent)
        try:
            with _Spinner(is_shown=self._is_terminal and sys.stderr.isatty()) as spinner:
                for event in stream.events():
                    if event.WhichOneof("event") == "delta":
                        last = time.monotonic() - began
                        if first is None:
                            spinner.stop()
                            self.has_begun, first = True, last
                        pieces.write(event.delta)
        finally:
            pieces.end()
        answer = stream.answer
        usage = answer.usage
        return answer, Figures(
            prompt_token_count=usage.prompt_token_count,
            cached_token_count=usage.cached_prompt_token_count,
            output_token_count=usage.output_token_count,
            first_seconds=first,
            last_seconds=last,
            total_seconds=time.monotonic() - began,
        )


class _Pieces:
    """The text of one answer; on a terminal its thoughts too, in a dim voice."""

    def __init__(self, *, is_terminal: bool, is_silent: bool) -> None:
        self._is_terminal = is_terminal
        self._is_silent = is_silent
        self._is_thinking = False
        self._last = ""

    def write(self, delta: chat_service_pb2.ChatDelta) -> None:
        if self._is_silent:
            return
        if delta.reasoning and self._is_terminal:
            self._is_thinking = True
            self._out(click.style(delta.reasoning.translate(_NOT_FOR_TERMINALS), dim=True))
        if delta.text:
            if self._is_thinking:
                self._is_thinking = False
                self._out("\n\n")
            self._out(delta.text.translate(_NOT_FOR_TERMINALS) if self._is_terminal else delta.text)

    def end(self) -> None:
        """The shell's prompt, or the next line of a script, begins on a line of its own."""
        if self._last and not self._last.endswith("\n"):
            self._out("\n")

    def _out(self, text: str) -> None:
        self._last = text or self._last
        sys.stdout.write(text)
        sys.stdout.flush()


class _Spinner:
    """A sign of life until the first piece, on a terminal and only where that takes a moment."""

    def __init__(self, *, is_shown: bool) -> None:
        self._lock = threading.Lock()
        self._is_over = not is_shown
        self._status = Console(stderr=True).status("[dim]waiting for the first word[/]", spinner="dots")
        self._timer = threading.Timer(_SPINNER_AFTER_SECONDS, self._start)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        if not self._is_over:
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave no trace on the screen. Harmless when called twice."""
        self._timer.cancel()
        with self._lock:
            if not self._is_over:
                self._is_over = True
                self._status.stop()

    def _start(self) -> None:
        with self._lock:
            if not self._is_over:
                self._status.start()
