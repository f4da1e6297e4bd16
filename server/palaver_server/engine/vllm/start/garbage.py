"""Keeps Python's garbage collector from what a loaded engine is made of, and from looking too often."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG_OBJECTS = 10_000
"""So many there may be before the collector looks at them, and not 700 as Python has it. Each message makes some, and
hardly any is left to collect: looking took a sixteenth of a full server's CPU time."""
_USUAL_THRESHOLDS = gc.get_threshold()


def keep_all() -> None:
    """Take what there is now for something that stays, and look at new objects less often.

    Those that stay are hundreds of thousands, which the collector would go through again and again while streams wait.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def as_usual() -> None:
    """Look at everything again, and as often as usual. Not now: going through all of it takes a second of a stop."""
    gc.unfreeze()
    gc.set_threshold(*_USUAL_THRESHOLDS)


@contextmanager
def left_alone() -> Iterator[None]:
    """Do not collect for a while: a fifth of an import's time goes into collections that find nothing."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
