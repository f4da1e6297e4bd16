"""What a person sees while the server starts: a moving bar on a terminal, plain lines elsewhere.

All of it goes to standard error, beside the log.
"""

from __future__ import annotations

import shlex
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from palaver_server.core.model import LoadPhase, LoadProgress


class StartView(Protocol):
    """Is told how a start goes on; ``app.Announcer`` says when."""

    def listening(self, address: str) -> None:
        """The port is bound."""

    def progress(self, progress: LoadProgress) -> None:
        """The load has come this far."""

    def ready(self, address: str, model_id: str, seconds: float) -> None:
        """Chats are answered now."""

    def close(self) -> None:
        """The start is over, whatever came of it."""


class TerminalView:
    """A bar with the phase in words and the time that has passed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task: TaskID = self._progress.add_task("starting", total=1.0)
        self._progress.start()

    def listening(self, address: str) -> None:
        """Show where, beside the bar."""
        self._console.print(f"Listening on [bold]{address}[/]; the model is loading")

    def progress(self, progress: LoadProgress) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=progress.fraction, description=_described(progress))

    def ready(self, address: str, model_id: str, seconds: float) -> None:
        """Say where, what, how long it took, and what to type next."""
        self.close()
        self._console.print(f"[bold green]Ready[/] after {seconds:.1f} s: [bold]{model_id}[/] at [bold]{address}[/]")
        self._console.print("Try it in a second terminal:", style="dim")
        for command in commands_to_paste(address):
            self._console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
        self._console.print("Ctrl-C ends the server.", style="dim")

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()


class PlainView:
    """One line a phase."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase: LoadPhase | None = None

    def listening(self, address: str) -> None:
        """Say where."""
        self._say(f"Listening on {address}; the model is loading")

    def progress(self, progress: LoadProgress) -> None:
        """Write a line when a phase begins."""
        if progress.phase is not self._phase:
            self._phase = progress.phase
            self._say(_described(progress))

    def ready(self, address: str, model_id: str, seconds: float) -> None:
        """Say where, what, how long it took, and what to type next."""
        self._say(f"Ready after {seconds:.1f} s: {model_id} at {address}")
        self._say("Try it in a second terminal:")
        for command in commands_to_paste(address):
            self._say(f"  {command}")

    def close(self) -> None:
        """Nothing is open."""

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def start_view() -> StartView:
    """The view that fits where standard error goes."""
    console = Console(stderr=True)
    return TerminalView(console) if console.is_terminal else PlainView(console)


def commands_to_paste(address: str) -> list[str]:
    """Commands that work as they stand, in the checkout, while the server runs."""
    question = "What is the capital of France?"
    body = '{"messages": [{"role": "ROLE_USER", "content": [{"text": "' + question + '"}]}]}'
    palaver = ".venv/bin/palaver chat"
    if address != "127.0.0.1:50051":
        palaver += f" --address {shlex.quote(address)}"
    target = f"-unix {shlex.quote(address.removeprefix('unix:'))}" if address.startswith("unix:") else address
    return [
        f"{palaver} {shlex.quote(question)}",
        f"grpcurl -plaintext {target} list",
        f"grpcurl -plaintext -d {shlex.quote(body)} {target} palaver.v1.ChatService/Chat",
    ]


def _described(progress: LoadProgress) -> str:
    return f"{progress.phase.value}: {progress.detail}" if progress.detail else progress.phase.value
