"""How deep JSON is nested."""

from __future__ import annotations


def depth(value: object) -> int:
    """Levels of nesting, without recursion: 1 for what holds nothing."""
    deepest, pending = 0, [(value, 1)]
    while pending:
        item, level = pending.pop()
        deepest = max(deepest, level)
        if isinstance(item, dict):
            pending.extend((child, level + 1) for child in item.values())
        elif isinstance(item, list):
            pending.extend((child, level + 1) for child in item)
    return deepest
