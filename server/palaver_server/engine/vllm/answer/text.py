"""Text without the line breaks that belong to a chat template's layout rather than to what the model says."""

from __future__ import annotations

BREAKS = "\r\n"


class SpeechTrim:
    """Takes away line breaks before all text, and white space before, between and after tool calls.

    White space alone is held until it is known what follows. No text that is fed is empty.
    """

    def __init__(self) -> None:
        self._has_spoken = False
        self._has_called = False
        self._held = ""

    def feed(self, text: str) -> str:
        """Give what of the next text is to be told now."""
        if self._has_spoken and not self._held and not text[-1].isspace():
            return text
        text = self._held + text
        if not self._has_spoken:
            text = text.lstrip(BREAKS)
        is_layout = self._has_called or not (self._has_spoken or text.strip())
        kept = text.rstrip() if is_layout else text.rstrip(BREAKS)
        self._held = text[len(kept) :]
        self._has_spoken = self._has_spoken or bool(kept)
        return kept

    def call(self) -> None:
        """A tool is called here: what was held stood before its mark."""
        self._held = ""
        self._has_called = True

    def flush(self) -> str:
        """Give what is left at the end."""
        held, self._held = self._held, ""
        return "" if self._has_called else held


class ThoughtTrim:
    """Takes away line breaks before all thoughts."""

    def __init__(self) -> None:
        self._has_begun = False

    def feed(self, text: str) -> str:
        """Give what of the next text is to be told."""
        if not self._has_begun:
            text = text.lstrip(BREAKS)
            self._has_begun = bool(text)
        return text
