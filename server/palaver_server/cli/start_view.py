"""What a person sees while the server starts: a moving bar on a terminal, plain lines elsewhere.

All of it goes to standard error, beside the log.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from palaver_server.core.model import LoadPhase, LoadProgress
from palaver_server.settings import Settings

QUESTION = "What is the capital of France?"
# Temperature 0: a first answer is no matter of luck, however small the model.
BODY = json.dumps({"messages": [{"role": "ROLE_USER", "content": [{"text": QUESTION}]}], "options": {"temperature": 0}})
DEFAULT_ADDRESS = "127.0.0.1:50051"
log = structlog.get_logger("palaver.app")


@dataclass(frozen=True, slots=True)
class Security:
    """What a client has to show and to check."""

    has_certificate: bool
    wants_certificate: bool

    @property
    def flags(self) -> tuple[str, str]:
        """Flags of `palaver chat` and of grpcurl."""
        if not self.has_certificate:
            return "", "-plaintext"
        ours, theirs = " --ca CA.pem", "-cacert CA.pem"
        if self.wants_certificate:
            ours, theirs = (
                f"{ours} --client-cert CERT.pem --client-key KEY.pem",
                f"{theirs} -cert CERT.pem -key KEY.pem",
            )
        return ours, theirs


@dataclass(frozen=True, slots=True)
class EdgePort:
    """The edge's TLS port."""

    address: str
    ca: Path | None
    """The authority that clients need; None where the operator brought a certificate."""

    @property
    def url(self) -> str:
        """As a client on this machine writes it."""
        return f"https://{_local(self.address)}"

    def commands(self, model_id: str) -> list[str]:
        """Ask over OpenAI's protocol, streamed, over REST, and over gRPC."""
        ca = shlex.quote(str(self.ca or "CA.pem"))
        message = {"role": "user", "content": QUESTION}
        openai = {"model": model_id, "stream": True, "temperature": 0, "messages": [message]}
        return [
            f"curl -N --cacert {ca} {self.url}/v1/chat/completions --json {shlex.quote(json.dumps(openai))}",
            f"curl --cacert {ca} {self.url}/palaver/v1/chat --json {shlex.quote(BODY)}",
            f"grpcurl -cacert {ca} -d {shlex.quote(BODY)} {_local(self.address)} palaver.v1.ChatService/Chat",
        ]


class StartView(Protocol):
    """Is told how a start goes on; ``app.Announcer`` says when."""

    def listening(self, address: str) -> None:
        """The port is bound."""

    def edge_listening(self, address: str, status_address: str, ca: Path | None) -> None:
        """The edge's TLS port answers."""

    def progress(self, progress: LoadProgress) -> None:
        """The load has come this far."""

    def ready(self, address: str, model_id: str, seconds: float) -> None:
        """Chats are answered now."""

    def close(self) -> None:
        """The start is over, whatever came of it."""


class TerminalView:
    """A bar with the phase in words and the time that has passed. Log lines go above it."""

    def __init__(self, console: Console, security: Security) -> None:
        self._console = console
        self._security = security
        self._edge: EdgePort | None = None
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=30),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),  # last, so that the bar stands still while the words change
            console=console,
            transient=True,
        )
        self._task: TaskID = self._progress.add_task("starting", total=1.0)
        self._progress.start()
        self._is_ready = False

    def listening(self, address: str) -> None:
        """Show where, above the bar."""
        self._console.print(
            f"Listening on [bold]{escape(address)}[/]; the model is loading", highlight=False, soft_wrap=True
        )

    def edge_listening(self, address: str, status_address: str, ca: Path | None) -> None:
        """Show where, above the bar."""
        self._edge = EdgePort(address, ca)
        self._console.print(f"Listening on [bold]{escape(self._edge.url)}[/]", highlight=False, soft_wrap=True)

    def progress(self, progress: LoadProgress) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=progress.fraction, description=_described(progress))

    def ready(self, address: str, model_id: str, seconds: float) -> None:
        """Say where, what, how long it took, and what to type next."""
        self.close()
        self._is_ready = True
        what = f"[bold]{escape(model_id)}[/] at [bold]{escape(address)}[/]"
        self._console.print(f"[bold green]Ready[/] after {seconds:.1f} s: {what}", highlight=False, soft_wrap=True)
        self._console.print("Try it in a second terminal:", style="dim")
        for command in commands_to_paste(address, self._security, self._edge, model_id):
            self._console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
        self._console.print("Ctrl-C ends the server.\n", style="dim")

    def close(self) -> None:
        """Take the bar away; once it was ready, say that the end has begun."""
        self._progress.stop()
        if self._is_ready:
            self._is_ready = False
            self._console.print("\nStopping; answers under way may end first. Ctrl-C again ends at once.", style="dim")


class PlainView:
    """For a pipe or a file: one line a phase, and the two great events for programs that read the log as well."""

    def __init__(self, console: Console, security: Security) -> None:
        self._console = console
        self._security = security
        self._edge: EdgePort | None = None
        self._phase: LoadPhase | None = None

    def listening(self, address: str) -> None:
        """Say where."""
        from palaver_server.app.process_age import seconds_since_process_start  # noqa: PLC0415  # the bar precedes it

        log.info("listening", address=address, seconds=round(seconds_since_process_start(), 2))
        self._say(f"Listening on {address}; the model is loading")

    def edge_listening(self, address: str, status_address: str, ca: Path | None) -> None:
        """Say where."""
        self._edge = EdgePort(address, ca)
        log.info("edge listening", address=address, status_address=status_address, ca=str(ca) if ca else None)
        self._say(f"Listening on {self._edge.url}")

    def progress(self, progress: LoadProgress) -> None:
        """Write a line when a phase begins."""
        if progress.phase is not self._phase:
            self._phase = progress.phase
            self._say(_described(progress))

    def ready(self, address: str, model_id: str, seconds: float) -> None:
        """Say where, what, how long it took, and what to type next."""
        log.info("ready", model=model_id, address=address, seconds=round(seconds, 2))
        self._say(f"Ready after {seconds:.1f} s: {model_id} at {address}")
        self._say("Try it in a second terminal:")
        for command in commands_to_paste(address, self._security, self._edge, model_id):
            self._say(f"  {command}")

    def close(self) -> None:
        """Nothing is open."""

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def start_view(settings: Settings) -> StartView:
    """The view that fits where standard error goes, and what the log there looks like."""
    security = Security(settings.tls_cert is not None, settings.tls_client_ca is not None)
    console = Console(stderr=True)
    if console.is_terminal and settings.log_format != "json":
        return TerminalView(console, security)
    return PlainView(console, security)


def commands_to_paste(address: str, security: Security, edge: EdgePort | None = None, model_id: str = "") -> list[str]:
    """Commands that work as they stand while the server runs; the names of files that clients need are in capitals."""
    where = "" if address == DEFAULT_ADDRESS else f" --address {shlex.quote(address)}"
    target = shlex.quote(address)
    ours, theirs = security.flags
    chat = f"{_program()} chat{where}{ours} {shlex.quote(QUESTION)}"
    if edge is not None:
        return [chat, *edge.commands(model_id)]
    return [
        chat,
        f"grpcurl {theirs} {target} list",
        f"grpcurl {theirs} -d {shlex.quote(BODY)} {target} palaver.v1.ChatService/Chat",
    ]


def _local(address: str) -> str:
    """An address as this machine reaches it: who listens everywhere listens on loopback."""
    host, _, port = address.rpartition(":")
    return f"localhost:{port}" if host in {"0.0.0.0", "[::]", "127.0.0.1", "[::1]"} else address  # noqa: S104  # compared


def _program() -> str:
    """The program as a shell finds it from here."""
    called = Path(sys.argv[0])
    if called.name != "palaver":
        return f"{shlex.quote(sys.executable)} -m palaver_server"
    found = shutil.which("palaver")
    return "palaver" if found and Path(found) == called.absolute() else shlex.quote(str(called))


def _described(progress: LoadProgress) -> str:
    if progress.detail in ("", progress.phase.value):
        return progress.phase.value
    return f"{progress.phase.value}: {progress.detail}"
