"""What the operator decides about how an engine answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from palaver_server.core.options import GenerationOptions


@dataclass(frozen=True, slots=True)
class FormLimits:
    """What one schema, regular expression, grammar or structural tag may take."""

    max_bytes: int = 131_072
    """Of its text."""
    compile_seconds: float = 5.0
    """Processor time."""
    compile_mib: int = 1024
    """Memory while it is compiled."""
    compiled_mib: int = 64
    """Memory that the engine would keep for it; vLLM's cache of them holds 512."""
    step_seconds: float = 0.1
    """Processor time for one token. All requests of an engine make their steps together."""


@dataclass(frozen=True, slots=True)
class EnginePolicy:
    """The server's settings about answers."""

    defaults: GenerationOptions = field(default_factory=GenerationOptions)
    """What a request that leaves an option unset gets, before the model's own generation config is asked."""
    shares_prefix_cache: bool = False
    """Whether all clients share one prefix cache."""
    max_coalescing_seconds: float = 0.0
    """How long a token of a stream may be held back under load; 0 for not at all."""
    form_limits: FormLimits = field(default_factory=FormLimits)
    """What the form of an answer may cost."""
