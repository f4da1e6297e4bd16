"""A front end's place at an engine core.

vLLM's engine core takes requests from, and gives outputs to, any number of front ends, each over a pair of sockets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Seat:
    """One front end's place at an engine core."""

    folder: Path
    """The engine's, in which the sockets are."""
    index: int = 0
    """The first, 0, launches the core."""
    count: int = 1
    cache_secret: bytes = b""
    """What keeps the clients' prefix caches apart, the same for all, as they share the engine's cache."""

    @property
    def is_first(self) -> bool:
        """Whether it launches the core."""
        return self.index == 0

    @property
    def addresses(self) -> dict[str, str] | None:
        """The sockets that this front end makes for a core that another one launches; None for the first."""
        return None if self.is_first else self._addresses_of(self.index)

    @property
    def addresses_of_others(self) -> list[dict[str, str]]:
        """For the first: what the core has to be told of the others."""
        return [self._addresses_of(index) for index in range(1, self.count)] if self.is_first else []

    def _addresses_of(self, index: int) -> dict[str, str]:
        return {f"{way}_address": f"ipc://{self.folder}/front-end-{index}-{way}" for way in ("input", "output")}
