"""Keeps Python's garbage collector from what a loaded engine is made of."""

from __future__ import annotations

import gc


def keep_all() -> None:
    """Take what there is now for something that stays.

    Those are hundreds of thousands of objects that the collector would go through again and again while streams wait.
    """
    gc.collect()
    gc.freeze()


def collect_all() -> None:
    """Collect, whatever ``keep_all`` has said."""
    gc.unfreeze()
    gc.collect()
