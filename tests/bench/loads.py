"""How much is asked for at once."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Load(BaseModel):
    """Streams that never rest, or callers who come when they like."""

    model_config = ConfigDict(frozen=True)

    streams: int = 0
    """So many at once, each asking anew as soon as its answer has ended."""
    percent: int | None = None
    """Callers arrive at random (a Poisson process) and wait for nobody: on average as many a second as this share of
    what the first peer can answer. Then ``streams`` is 0."""
    is_mixed: bool = False
    """Prompts and answers of many lengths, the same for every peer."""

    @property
    def label(self) -> str:
        """Its name in tables and results."""
        if self.percent is not None:
            return f"{self.percent} %"
        return f"{self.streams} mixed" if self.is_mixed else str(self.streams)
