"""A conversation on a terminal: lines are edited and remembered, answers come as they are written."""

from __future__ import annotations

import re
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.styles import Style

from palaver_client import Client, MessageLike, StreamOptions, errors
from palaver_server.cli.answer_view import AnswerView, Figures
from palaver_server.cli.calling import told
from palaver_server.cli.connection import Where
from palaver_server.cli.patience import Patience
from palaver_server.cli.typed_history import typed_history

HELP = """\
  /reset          forget what was said; the system text stays
  /retry          ask the last question again
  /system [TEXT]  set what rules the conversation; alone: show it
  /model [NAME]   let another model answer; alone: show which does
  /stats [on]     tell what the last answer took; on, off: after each
  /exit           leave, as Ctrl-D does

  Enter sends. Alt+Enter, or a backslash before Enter, begins a new line.
  Pasted lines stay together. Up and down bring earlier ones back.
  Ctrl-C stops an answer; what has come of it is remembered."""

_COMMAND = re.compile(r"/([a-z]+)(?:\s+(.*))?", re.DOTALL)
_STYLE = Style.from_dict({"prompt": "bold ansigreen", "bottom-toolbar": "noreverse ansibrightblack"})


class Dialogue:
    """One conversation, from the greeting to the farewell.

    Args:
        client: who asks.
        where: whom.
        patience: waits while the model loads.
        system: what sets the rules, or None.
        options: for every answer.
        stats: tell what each answer took.
        has_history: keep what is typed for the next time.
    """

    def __init__(
        self,
        client: Client,
        where: Where,
        patience: Patience,
        *,
        system: str | None,
        options: StreamOptions,
        stats: bool,
        has_history: bool,
    ) -> None:
        self._client = client
        self._where = where
        self._patience = patience
        self._system = system
        self._options = options
        self._stats = stats
        self._has_history = has_history
        self._view = AnswerView()
        self._spoken: list[MessageLike] = []
        """What was said so far, without the system text."""
        self._before: list[MessageLike] = []
        """What was said before the last question."""
        self._question: str | None = None
        self._figures: Figures | None = None
        self._model = ""
        self._context_length = 0
        self._commands: dict[str, Callable[[str], None]] = {
            "help": lambda _: click.echo(HELP),
            "reset": self._reset,
            "retry": self._retry,
            "system": self._set_system,
            "model": self._set_model,
            "stats": self._show_stats,
        }

    def run(self) -> None:
        """Talk until the person leaves.

        Raises:
            errors.PalaverClientError: no server answers at the beginning. Later failures end an answer alone.
        """
        model = self._patience.wait_for_model()
        self._model, self._context_length = self._options.get("model") or model.id, model.context_length
        click.secho(f"{self._model} at {self._client.address}", bold=True)
        click.secho("Enter sends, Alt+Enter begins a new line, /help tells more, Ctrl-D leaves.", dim=True)
        session = self._session()
        while True:
            try:
                click.echo()
                text = session.prompt([("class:prompt", "> ")]).strip()
            except KeyboardInterrupt:
                continue  # a line that was begun is dropped, as in a shell
            except EOFError:
                return
            if text in ("/exit", "/quit"):
                return
            try:
                self._take(text)
            except errors.PalaverClientError as error:
                click.secho(told(error, self._where), fg="red", err=True)
            except (TypeError, ValueError) as error:
                click.secho(str(error), fg="red", err=True)
            except KeyboardInterrupt:
                click.echo()

    def _session(self) -> PromptSession[str]:
        words = [*(f"/{name}" for name in self._commands), "/exit"]
        return PromptSession(
            history=typed_history(is_kept=self._has_history),
            multiline=True,
            prompt_continuation=lambda _width, _number, _wrapped: [("class:prompt", ". ")],
            completer=WordCompleter(words, sentence=True),
            complete_while_typing=False,
            bottom_toolbar=self._toolbar,
            key_bindings=_keys(),
            style=_STYLE,
            enable_history_search=True,
            reserve_space_for_menu=3,
        )

    def _toolbar(self) -> StyleAndTextTuples:
        used = f", {self._used:,} of {self._context_length:,} tokens" if self._used and self._context_length else ""
        return [("class:bottom-toolbar", f"{self._model}{used}")]

    @property
    def _used(self) -> int:
        return self._figures.prompt_token_count + self._figures.output_token_count if self._figures else 0

    def _take(self, text: str) -> None:
        if not text:
            return
        if (match := _COMMAND.fullmatch(text)) is None:
            self._ask(text)
        elif (command := self._commands.get(match[1])) is not None:
            command((match[2] or "").strip())
        else:
            click.secho(f"There is no command /{match[1]}; /help lists those there are.", fg="red", err=True)

    def _ask(self, question: str) -> None:
        self._question, self._before = question, self._spoken
        self._patience.renew()
        asked: list[MessageLike] = [*self._spoken, {"role": "user", "content": question}]
        while True:
            with self._client.stream(asked, system=self._system, **self._options) as stream:
                try:
                    with _unechoed():
                        answer, self._figures = self._view.show(stream)
                    break
                except KeyboardInterrupt:
                    if stream.text:  # the next question may be about what was read
                        self._spoken = [*asked, {"role": "assistant", "content": stream.text}]
                    click.secho("(stopped)", dim=True)
                    return
                except errors.PalaverClientError as error:
                    if self._view.has_begun or not self._patience.outlasts(error):
                        raise
        self._spoken = [*asked, answer.message]
        if answer.finish_reason == "length":
            click.secho(f"(cut off at {answer.usage.output_token_count} tokens)", dim=True)
        if self._stats:
            click.secho(f"({self._figures})", dim=True)

    def _reset(self, _: str) -> None:
        self._spoken, self._question, self._figures = [], None, None
        click.secho("(forgotten)", dim=True)

    def _retry(self, _: str) -> None:
        if self._question is None:
            click.secho("Nothing was asked yet.", fg="red", err=True)
            return
        self._spoken = self._before
        self._ask(self._question)

    def _set_system(self, text: str) -> None:
        self._system = text or self._system
        click.secho(f"({self._system or 'no system text'})", dim=True)

    def _set_model(self, name: str) -> None:
        if name:
            model = self._client.get_model(name)
            self._options = {**self._options, "model": model.id}
            self._model, self._context_length = model.id, model.context_length
        click.secho(f"({self._model})", dim=True)

    def _show_stats(self, switch: str) -> None:
        if switch in ("on", "off"):
            self._stats = switch == "on"
        click.secho(f"({self._figures or 'nothing was asked yet'})", dim=True)


@contextmanager
def _unechoed() -> Iterator[None]:
    """Keep keys that are pressed while an answer comes out of its text. They stand at the next prompt instead."""
    before = termios.tcgetattr(sys.stdin)
    quiet = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(sys.stdin, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _send(_event: KeyPressEvent) -> None:
        buffer = get_app().current_buffer
        if buffer.document.current_line_before_cursor.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.newline()
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _new_line(_event: KeyPressEvent) -> None:
        get_app().current_buffer.newline()

    return keys
