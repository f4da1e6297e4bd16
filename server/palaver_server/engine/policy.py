"""What the operator decides about how an engine answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from palaver_server.core.options import GenerationOptions


@dataclass(frozen=True, slots=True)
class EnginePolicy:
    """The server's settings about answers."""

    defaults: GenerationOptions = field(default_factory=GenerationOptions)
    """What a request that leaves an option unset gets, before the model's own generation config is asked."""
    shares_prefix_cache: bool = False
    """Whether all clients share one prefix cache."""
    max_coalescing_seconds: float = 0.0
    """How long a token of a stream may be held back under load; 0 for not at all."""
