"""Where an answer begins for its reader.

A reasoning model writes marks around its thoughts before its first word, and some servers pass them on as text. The
first token is the first that a reader is shown, with every peer alike.
"""

from __future__ import annotations

MARKS = ("<think>", "</think>")


def unseen(text: str) -> str | None:
    """The beginning of an answer while it is nothing but layout; then None."""
    words = text
    for mark in MARKS:
        words = words.replace(mark, "")
    return None if words.strip() else text
