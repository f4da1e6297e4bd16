"""How far the load is, and how long a caller who came too early should wait."""

from __future__ import annotations

import time
from collections.abc import Callable

from palaver_server.core.model import LoadPhase, LoadProgress

MIN_RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 30.0
"""An estimate that is further off than this is worth little; come back and hear a better one."""


FETCH_SHARE = 0.5
"""Of a whole load, the part that fetching takes where it is needed."""
_FILE_PHASES = frozenset({LoadPhase.FETCHING, LoadPhase.VERIFYING})


class Loading:
    """The progress of the one load of this process, as the engine reports it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._engine_begins_at = 0.0
        self._progress = LoadProgress(LoadPhase.STARTING, 0.0)

    @property
    def progress(self) -> LoadProgress:
        """The latest report."""
        return self._progress

    @property
    def elapsed_seconds(self) -> float:
        """Since the process began to load."""
        return self._clock() - self._began

    def report(self, progress: LoadProgress) -> None:
        """Take a report; a fraction never goes back."""
        if progress.phase is LoadPhase.FETCHING:
            self._engine_begins_at = FETCH_SHARE
        begins_at = self._engine_begins_at
        share = begins_at if progress.phase in _FILE_PHASES else 1 - begins_at
        start = 0.0 if progress.phase in _FILE_PHASES else begins_at
        fraction = max(start + share * progress.fraction, self._progress.fraction)
        self._progress = LoadProgress(progress.phase, fraction, progress.detail)

    def retry_after_seconds(self) -> float:
        """Tell what is left of the load if it goes on at its pace so far, within bounds."""
        fraction = self._progress.fraction
        left = self.elapsed_seconds * (1 - fraction) / fraction if fraction > 0 else MAX_RETRY_SECONDS / 2
        return min(max(left, MIN_RETRY_SECONDS), MAX_RETRY_SECONDS)
