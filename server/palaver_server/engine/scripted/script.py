"""The language in which it is written what the scripted engine says: thoughts, text, calls of tools, and how it ends.

A text is a script if its first line begins with a directive; any other text is an answer that says just that. ::

    /think The user asks for the weather.    a thought
    /say I look it up.                       words
    /call get_weather {"city": "Oslo"}       a call; what follows the tool's name are its arguments, good or bad
    /cut                                     the answer ends here by its length; a call just before it is cut off
    /choice                                  from here on the next choice speaks; after the last the first speaks again
    /then                                    from here on the next turn, after the tools' answers

A line without a directive belongs to the one before it, line feed included, so that arguments may have several lines.
A directive stands at the beginning of its line; to say a line that begins with one, write it after ``/say``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_DIRECTIVE = re.compile(r"/(think|say|call|cut|choice|then)(?:[ \t]+(.*))?")
_MEANT = re.compile(r"/[a-z]+(?:[ \t]|$)")
"""Looks like a directive, and in a script is none by mistake alone."""
_ALONE = ("cut", "choice", "then")
NO_ARGUMENTS = "{}"


@dataclass(frozen=True, slots=True)
class Thought:
    """What is thought before it is spoken."""

    text: str


@dataclass(frozen=True, slots=True)
class Speech:
    """What is said."""

    text: str


@dataclass(frozen=True, slots=True)
class Filler:
    """So many words of no meaning."""

    word_count: int


@dataclass(frozen=True, slots=True)
class Call:
    """A tool that is called."""

    name: str
    arguments: str
    """As the script has them: they need be no JSON."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """What one choice says in one turn."""

    parts: tuple[Thought | Speech | Filler | Call, ...]
    is_cut: bool = False
    """Whether it ends by its length; the end of a call that comes last is then missing."""

    @property
    def text(self) -> str | None:
        """What is said; None where that has no meaning."""
        if any(isinstance(part, Filler) for part in self.parts):
            return None
        return "".join(part.text for part in self.parts if isinstance(part, Speech))

    @property
    def calls(self) -> tuple[Call, ...]:
        """The tools that are called, in order."""
        return tuple(part for part in self.parts if isinstance(part, Call))


Turn = tuple[Utterance, ...]
"""By choice."""


class ScriptError(ValueError):
    """A text begins as a script and is none. The message is the end of a sentence, with the line."""


def is_script(text: str) -> bool:
    """Tell whether a text is a script rather than an answer."""
    return text.startswith("/") and _DIRECTIVE.fullmatch(text.partition("\n")[0].rstrip("\r")) is not None


def parse(text: str) -> tuple[Turn, ...]:
    """Read a script; a text that is none is one turn of one choice that says it.

    Raises:
        ScriptError: a line is no directive, or one that lacks something.
    """
    if not is_script(text):
        return ((Utterance((Speech(text),)),),)
    turns: list[list[Utterance]] = [[]]
    parts: list[Thought | Speech | Filler | Call] = []
    is_cut = False
    for directive, rest in _directives(text):
        match directive:
            case "think":
                parts.append(Thought(rest))
            case "say":
                parts.append(Speech(rest))
            case "call":
                name, *arguments = rest.split(maxsplit=1)
                parts.append(Call(name, arguments[0] if arguments else NO_ARGUMENTS))
            case "cut":
                is_cut = True
            case _:  # the next choice, or the next turn
                turns[-1].append(Utterance(tuple(parts), is_cut))
                parts, is_cut = [], False
                if directive == "then":
                    turns.append([])
    turns[-1].append(Utterance(tuple(parts), is_cut))
    return tuple(tuple(turn) for turn in turns)


def _directives(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        match = _DIRECTIVE.fullmatch(line.rstrip("\r"))
        if match is None:
            if _MEANT.match(line):
                raise ScriptError(f"line {number} of the script is no directive; see engine/scripted/script.py")
            directive, rest = found[-1]
            if directive in _ALONE:
                if not line.strip():
                    continue
                raise ScriptError(f"line {number} of the script: nothing can follow /{directive}; begin with /say")
            found[-1] = directive, f"{rest}\n{line}"
            continue
        directive, rest = match[1], match[2] or ""
        if directive == "call" and not rest.strip():
            raise ScriptError(f"line {number} of the script: /call needs the name of a tool")
        if directive in _ALONE and rest.strip():
            raise ScriptError(f"line {number} of the script: /{directive} stands alone")
        if found and found[-1][0] == "cut" and directive not in ("choice", "then"):
            raise ScriptError(f"line {number} of the script: nothing can follow /cut but /choice and /then")
        found.append((directive, rest))
    return found
