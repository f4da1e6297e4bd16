"""The screen that goes on: a frame every so often, and keys in between."""

from __future__ import annotations

import contextlib
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator

from prompt_toolkit.input import Input, create_input
from prompt_toolkit.keys import Keys
from rich.console import Console
from rich.live import Live

from palaver_server.cli.top import view
from palaver_server.cli.top.figures import Figures, figures_of
from palaver_server.cli.top.scrape import Interval, Scrape, ScrapeError, scrape

WINDOWS = (10.0, 60.0, 300.0)
"""Seconds that rates and quantiles are about; the key w takes the next."""
HISTORY = 300
_QUIT = ("q", "Q", Keys.ControlC, Keys.ControlD, Keys.Escape)


class Screen:
    """Shows one server until somebody presses q.

    Args:
        url: of its metrics port.
        every: seconds between two looks.
        first: the look that was taken to see whether it answers.
    """

    def __init__(self, url: str, every: float, first: Scrape) -> None:
        self._url = url
        self._every = every
        self._looks: deque[Scrape] = deque([first])
        self._tokens: deque[float] = deque(maxlen=HISTORY)
        self._window = 0
        self._is_held = False
        self._silent_since: float | None = None

    def run(self, console: Console) -> None:
        """Draw until the key to quit."""
        with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                until = time.monotonic() + self._every
                while (remaining := until - time.monotonic()) > 0:
                    for key in pressed(remaining):
                        if key in _QUIT:
                            return
                        self._press(key)
                        self._draw(live, console)
                if not self._is_held:
                    self._look()
                self._draw(live, console)

    def _press(self, key: str) -> None:
        if key == " ":
            self._is_held = not self._is_held
        elif key == "w":
            self._window = (self._window + 1) % len(WINDOWS)

    def _look(self) -> None:
        try:
            look = scrape(self._url)
        except ScrapeError:
            self._silent_since = self._silent_since or time.monotonic()
            return
        self._silent_since = None
        self._tokens.append(figures_of(Interval(self._looks[-1], look)).output_tokens)
        self._looks.append(look)
        while look.at - self._looks[1].at > max(WINDOWS):
            self._looks.popleft()

    def _figures(self) -> Figures | None:
        last = self._looks[-1]
        earlier = [look for look in self._looks if 0 < last.at - look.at <= WINDOWS[self._window] + self._every / 2]
        return figures_of(Interval(earlier[0], last)) if earlier else None

    def _draw(self, live: Live, console: Console) -> None:
        figures = self._figures()
        notice = ""
        if self._silent_since is not None:
            notice = f"no answer for {time.monotonic() - self._silent_since:.0f} s; the figures are the last ones"
        elif self._is_held:
            notice = "held; space goes on"
        if figures is not None:
            shown = view.frame(figures, console, address=self._url, history=self._tokens, notice=notice, keys=view.KEYS)
            live.update(shown, refresh=True)


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], list[str]]]:
    """Give what waits some seconds for keys, and returns those that were pressed; without a terminal there are none."""
    if not sys.stdin.isatty():
        yield _no_keys
        return
    source = create_input()
    with source.raw_mode():
        yield lambda seconds: _pressed(source, seconds)


def _no_keys(seconds: float) -> list[str]:
    time.sleep(seconds)
    return []


def _pressed(source: Input, seconds: float) -> list[str]:
    readable, _, _ = select.select([source.fileno()], [], [], seconds)
    if not readable:
        return []
    return [press.key for press in (*source.read_keys(), *source.flush_keys())]
