"""How to sample: every knob of a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RepetitionDetection:
    """When a choice counts as repeating itself: its last tokens are one pattern, several times over."""

    max_pattern_tokens: int
    """The longest pattern that is looked for, 1 to 1024."""
    min_repeat_count: int
    """How often it must stand in a row, from 2."""
    min_pattern_tokens: int = 1
    """The shortest pattern that is looked for, 1 to ``max_pattern_tokens``."""


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """How to sample. None leaves the choice to the server's settings, then to the model's own defaults."""

    max_output_tokens: int | None = None
    """At least 1. What the context does not leave room for is clamped, and ``Started`` says the effective number."""
    temperature: float | None = None
    """0 (always the likeliest token) to 2."""
    top_p: float | None = None
    """0 to 1; 0 considers the likeliest token alone."""
    top_k: int | None = None
    """At least 1."""
    min_p: float | None = None
    """0 to 1."""
    presence_penalty: float | None = None
    """-2 to 2."""
    frequency_penalty: float | None = None
    """-2 to 2."""
    repetition_penalty: float | None = None
    """Over 0 to 2; 1 is neutral."""
    stop_sequences: tuple[str, ...] = ()
    """Texts that end the answer and are not part of it."""
    seed: int | None = None
    """Makes sampling repeatable on the same engine."""
    time_limit_seconds: float | None = None
    """So long after admission the answer ends with the text so far and ``FinishReason.TIME_LIMIT``."""
    stops_before_deadline: bool = False
    """End so shortly before the caller's deadline, rather than fail at it."""
    choice_count: int | None = None
    """How many answers to one prompt, 1 to 128."""
    top_logprobs: int | None = None
    """How many of the likeliest tokens to report at each place; 0 reports the chosen one alone, None nothing."""
    logprob_token_ids: tuple[int, ...] = ()
    """Tokens to report at each place beside the chosen one, in place of the likeliest ones."""
    prompt_top_logprobs: int | None = None
    """As ``top_logprobs``, at each place of the prompt."""
    min_output_tokens: int | None = None
    """The fewest tokens before a choice may end by itself, from 0."""
    stop_token_ids: tuple[int, ...] = ()
    """Tokens that end a choice, beside the model's own."""
    ignores_eos: bool | None = None
    """Go on after the model's end-of-sequence token."""
    includes_stop_sequence: bool | None = None
    """Leave the stop sequence that ended a choice in its text."""
    skips_special_tokens: bool | None = None
    """Leave special tokens out of the text; None means so."""
    spaces_between_special_tokens: bool | None = None
    """Part special tokens that are kept in the text by spaces; None means so."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    """Added to the logits of tokens, -100 to 100, by token id."""
    bad_words: tuple[str, ...] = ()
    """Words that the answer must not have."""
    allowed_token_ids: tuple[int, ...] = ()
    """The only tokens that may be generated; empty allows all."""
    repetition_detection: RepetitionDetection | None = None
    """When to end a choice that repeats itself."""
    is_watermarked: bool | None = None
    """Carry the watermark that the engine is configured with; None means so, and an engine without one has none."""
