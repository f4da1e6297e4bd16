"""The scripted engine's tokens: words. Prompts are counted and answers are written in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from palaver_server.core.conversation import Message, Role

TEMPLATE_TOKENS_PER_MESSAGE = 4
"""What a message costs beside its words: its start, its role, a line feed and its end, as in ChatML."""

_WORD = re.compile(r"\s*+\S++(?:\s++\Z)?|\s++\Z")

_LINES = (
    "The quick brown fox jumps over the lazy dog.",
    "Pack my box with five dozen liquor jugs.",
    "How vexingly quick daft zebras jump!",
)
_FILLER = tuple(f" {word}" for line in _LINES for word in line.split())


def split_words(text: str) -> Iterator[str]:
    """Cut a text into words, each with the white space before it, the last one with the white space after it too.

    Put together again they are exactly the text. White space alone is one word, an empty text none.
    """
    return (match.group() for match in _WORD.finditer(text))


def write_words(count: int) -> Iterator[str]:
    """Write so many words of sentences that start anew when they are all said."""
    for index in range(count):
        word = _FILLER[index % len(_FILLER)]
        yield word if index else word.lstrip()


class Rendered(NamedTuple):
    """A conversation as the scripted engine reads it."""

    messages: Sequence[Message]

    @property
    def token_count(self) -> int:
        """The words of all messages, and ``TEMPLATE_TOKENS_PER_MESSAGE`` for each message."""
        return sum(TEMPLATE_TOKENS_PER_MESSAGE + len(message.text.split()) for message in self.messages)

    @property
    def text(self) -> str:
        """All messages in the layout of ChatML."""
        return "".join(f"<|im_start|>{message.role}\n{message.text}<|im_end|>\n" for message in self.messages)


async def render(messages: Sequence[Message]) -> Rendered:
    """There is nothing to wait for here; another engine's templates take time."""
    return Rendered(messages)


def last_user_text(messages: Sequence[Message]) -> str:
    """Give the text of the user's last message; where the user said nothing, of the last message."""
    said = [message for message in messages if message.role is Role.USER] or list(messages)
    return said[-1].text if said else ""
