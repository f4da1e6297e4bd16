"""The scripted engine's tokens: words. Prompts are counted and answers are written in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from palaver_server.core.conversation import Message
from palaver_server.core.tools import Tool

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
    tools: Sequence[Tool] = ()

    @property
    def token_count(self) -> int:
        """The words of all messages and tools, and ``TEMPLATE_TOKENS_PER_MESSAGE`` for each message."""
        said = sum(len(text.split()) for message in self.messages for text in _texts(message))
        offered = sum(len(text.split()) for tool in self.tools for text in _words_of_tool(tool))
        return TEMPLATE_TOKENS_PER_MESSAGE * len(self.messages) + said + offered

    @property
    def text(self) -> str:
        """All tools, and all messages in the layout of ChatML."""
        tools = "".join(f"{' '.join(_words_of_tool(tool))}\n" for tool in self.tools)
        return tools + "".join(
            f"<|im_start|>{message.role}\n{' '.join(filter(None, _texts(message)))}<|im_end|>\n"
            for message in self.messages
        )


def _texts(message: Message) -> Iterator[str]:
    yield message.reasoning
    yield message.text
    for call in message.tool_calls:
        yield call.name
        yield call.arguments_json


def _words_of_tool(tool: Tool) -> tuple[str, str, str]:
    return tool.name, tool.description, tool.parameters_json_schema
