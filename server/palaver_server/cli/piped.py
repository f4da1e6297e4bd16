"""Text from arguments and from a pipe."""

from __future__ import annotations

import sys

import click

MAX_BYTES = 8 * 1024**2
"""As many as a server takes in one request unless told otherwise."""


def question_from(words: tuple[str, ...], name: str) -> str | None:
    """The words, with the text of the pipe in the place of a ``-``; without words the pipe alone.

    None if there are no words and standard input is a terminal.

    Raises:
        click.UsageError: the text is empty, too long or no UTF-8.
    """
    if not words:
        if sys.stdin.isatty():
            return None
        words = ("-",)
    if words.count("-") > 1:
        raise click.UsageError(f"Only one `-` can stand in the {name}: there is one pipe.")
    text = " ".join(words)
    if "-" in words:
        place = words.index("-")
        parts = (" ".join(words[:place]), _pipe(name), " ".join(words[place + 1 :]))
        # What is piped stands on lines of its own, so that a text is not glued to the words about it.
        text = "\n\n".join(part for part in parts if part)
    if not text.strip():
        raise click.UsageError(f"The {name} is empty.")
    return text


def _pipe(name: str) -> str:
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise click.UsageError(f"The {name} is longer than the {MAX_BYTES // 1024**2} MiB that a request can have.")
    try:
        return data.decode("utf-8").rstrip("\n")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"The {name} is no UTF-8 text (byte {error.start}).") from error
