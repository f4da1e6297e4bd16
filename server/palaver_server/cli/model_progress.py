"""Shows the progress of model files on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from palaver_server.models.progress import OnProgress, Phase, Progress

LINE_SECONDS = 10.0
"""Between two plain lines about the same step; a new step is told at once."""
NEWS = {Phase.WAIT, Phase.REPAIR}
"""Phases that are sentences, not amounts."""


@contextmanager
def progress_shown(console: Console | None = None) -> Iterator[OnProgress]:
    """Give a function that shows reports until the block ends."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console).show
        return
    words, amount = TextColumn("{task.description}"), TextColumn("{task.fields[amount]}")
    columns = (SpinnerColumn(), words, BarColumn(), amount, TimeElapsedColumn())
    with Bars(*columns, console=console, transient=True) as bars:
        yield _Bar(bars).show


class _Bar:
    """One bar a step, over one another; a finished step leaves nothing behind."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._key: tuple[Phase, str] | None = None
        self._task: TaskID | None = None

    def show(self, progress: Progress) -> None:
        key = (progress.phase, progress.text)
        if self._task is None or key != self._key:
            if self._task is not None:
                self._bars.remove_task(self._task)
            if progress.phase in NEWS:
                self._bars.console.print(progress.text, markup=False, highlight=False)
            self._key, self._task = key, self._bars.add_task(progress.text, amount="")
        self._bars.update(self._task, completed=progress.done, total=progress.total, amount=_amount(progress))


class _Lines:
    """For logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._text = ""
        self._began = 0.0
        self._told = 0.0

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.text == self._text and now - self._told < LINE_SECONDS:
            return
        line = f"{progress.text} {_amount(progress)}".rstrip()
        if progress.text == self._text:
            line += f", {now - self._began:.0f} s so far"
        else:
            self._text, self._began = progress.text, now
        self._told = now
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _amount(progress: Progress) -> str:
    if not progress.total:
        return ""
    if progress.unit == "steps":
        return f"(step {progress.done + 1} of {progress.total})"
    return f"({decimal(progress.done)} of {decimal(progress.total)})"
