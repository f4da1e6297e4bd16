"""What the operator decides about how an engine answers."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from palaver_server.core.context import ContextOverflow
from palaver_server.core.errors import invalid_field
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.options import GenerationOptions

_UNSET: tuple[object, ...] = (None, (), {})
"""What an option that nobody has set is."""


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
    context_overflow: ContextOverflow = ContextOverflow.REJECT
    """What happens to a prompt that is too long where its request does not say."""
    max_output_tokens: int | None = None
    """The most that a request may ask for, and get; None: what the context holds."""
    shares_prefix_cache: bool = False
    """Whether all clients share one prefix cache."""
    max_coalescing_seconds: float = 0.0
    """How long a token of a stream may be held back under load; 0 for not at all."""
    form_limits: FormLimits = field(default_factory=FormLimits)
    """What the form of an answer may cost."""
    _given: tuple[tuple[str, Any], ...] = field(init=False, repr=False, compare=False)
    """Of the defaults, those that there are."""

    def __post_init__(self) -> None:
        given = ((option.name, getattr(self.defaults, option.name)) for option in fields(self.defaults))
        object.__setattr__(self, "_given", tuple((name, value) for name, value in given if value not in _UNSET))

    def output_limit(self, context_length: int) -> int:
        """The most output tokens of one choice."""
        return min(context_length, self.max_output_tokens or context_length)

    def completed(self, options: GenerationOptions) -> GenerationOptions:
        """Give a request's options the defaults for what it leaves unset."""
        missing = {name: value for name, value in self._given if getattr(options, name) in _UNSET}
        return replace(options, **missing) if missing else options

    def check_output(self, request: GenerationRequest, context_length: int) -> None:
        """See that a request asks for no more output than there can be.

        Raises:
            PalaverError: it does.
        """
        asked, limit = request.options.max_output_tokens, self.output_limit(context_length)
        if asked is not None and asked > limit:
            what = "the model's context length" if limit == context_length else "the most that this server gives"
            raise invalid_field(
                f"{request.field_prefix}options.max_output_tokens", f"must be at most {limit}, {what}; it is {asked}"
            )
