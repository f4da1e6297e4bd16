"""Stop sequences, found in a text that comes in pieces, before any part of them has gone out."""

from __future__ import annotations

from collections.abc import Sequence


class StopFilter:
    """Lets a text through up to the first stop sequence.

    The text ends where a stop sequence is first complete, character by character, however the text was cut into pieces;
    of several that are complete at the same character the longest counts. Text that may still become a stop sequence
    is held back.
    """

    def __init__(self, stop_sequences: Sequence[str]) -> None:
        self._stop_sequences = sorted(stop_sequences, key=len, reverse=True)
        self._held = ""
        self.matched: str | None = None
        """The stop sequence that ended the text; None as long as none did."""

    def feed(self, piece: str) -> str:
        """Take the next piece and give the text that is certain to belong to the answer."""
        if not self._stop_sequences:
            return piece
        text = self._held + piece
        found = [(at + len(stop), stop) for stop in self._stop_sequences if (at := text.find(stop)) >= 0]
        if found:
            end, self.matched = min(found, key=lambda match: match[0])  # the first of equals is the longest
            self._held = ""
            return text[: end - len(self.matched)]
        cut = self._hold_from(text)
        self._held = text[cut:]
        return text[:cut]

    def flush(self) -> str:
        """Give what is still held back: the text has ended, so it becomes no stop sequence any more."""
        held, self._held = self._held, ""
        return held

    def _hold_from(self, text: str) -> int:
        """Where the longest end of ``text`` starts with which a stop sequence begins; its length where none does."""
        earliest = len(text)
        for stop in self._stop_sequences:
            at = text.find(stop[0], max(0, len(text) - len(stop) + 1))
            while 0 <= at < earliest:
                if stop.startswith(text[at:]):
                    earliest = at
                at = text.find(stop[0], at + 1)
        return earliest
