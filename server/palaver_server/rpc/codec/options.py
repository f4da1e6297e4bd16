"""Sampling options."""

from __future__ import annotations

from typing import Any, Literal, get_args

from palaver.v1 import generation_options_pb2
from palaver_server.core.options import GenerationOptions, RepetitionDetection
from palaver_server.rpc.codec.times import duration_to_proto, seconds_from_proto

# Fields that are optional in the contract and of the same name and meaning in the domain.
_Knob = Literal[
    "max_output_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "seed",
    "choice_count",
    "top_logprobs",
    "prompt_top_logprobs",
    "min_output_tokens",
]
_KNOBS: tuple[_Knob, ...] = get_args(_Knob)
_Switch = Literal[
    "ignore_eos", "include_stop_sequence", "skip_special_tokens", "spaces_between_special_tokens", "watermarking"
]
_SWITCHES: dict[_Switch, str] = {
    "ignore_eos": "ignores_eos",
    "include_stop_sequence": "includes_stop_sequence",
    "skip_special_tokens": "skips_special_tokens",
    "spaces_between_special_tokens": "spaces_between_special_tokens",
    "watermarking": "is_watermarked",
}
"""By the contract's name: the domain's."""
_List = Literal["stop_sequences", "stop_token_ids", "bad_words", "allowed_token_ids", "logprob_token_ids"]
_LISTS: tuple[_List, ...] = get_args(_List)
_AS_THEY_ARE = {knob: str(knob) for knob in _KNOBS} | _SWITCHES | {"stop_before_deadline": "stops_before_deadline"}
"""By the contract's name: the domain's, where the value is the same."""


def options_from_proto(options: generation_options_pb2.GenerationOptions, field_prefix: str = "") -> GenerationOptions:
    """What a request says.

    Raises:
        PalaverError: ``INVALID_FIELD``: a length of time is malformed.
    """
    said: dict[str, Any] = {}
    for field, value in options.ListFields():  # most requests set two of some thirty
        name = field.name
        if (ours := _AS_THEY_ARE.get(name)) is not None:
            said[ours] = value
        elif name in _LISTS:
            said[name] = tuple(value)
        elif name == "logit_bias":
            said[name] = dict(value)
        elif name == "time_limit":
            said["time_limit_seconds"] = seconds_from_proto(value, f"{field_prefix}options.time_limit")
        elif name == "repetition_detection":
            said[name] = _repetition_from_proto(value)
    return GenerationOptions(**said)


def options_to_proto(options: GenerationOptions) -> generation_options_pb2.GenerationOptions:
    """The options in force, for a caller who asked for them."""
    proto = generation_options_pb2.GenerationOptions(
        **{knob: getattr(options, knob) for knob in _KNOBS},
        **{name: getattr(options, ours) for name, ours in _SWITCHES.items()},
        **{name: getattr(options, name) for name in _LISTS},
        logit_bias=options.logit_bias,
        time_limit=duration_to_proto(options.time_limit_seconds),
    )
    if options.stops_before_deadline:
        proto.stop_before_deadline = True
    if (repetition := options.repetition_detection) is not None:
        proto.repetition_detection.max_pattern_tokens = repetition.max_pattern_tokens
        proto.repetition_detection.min_pattern_tokens = repetition.min_pattern_tokens
        proto.repetition_detection.min_repeat_count = repetition.min_repeat_count
    return proto


def _repetition_from_proto(repetition: generation_options_pb2.RepetitionDetection) -> RepetitionDetection:
    return RepetitionDetection(
        max_pattern_tokens=repetition.max_pattern_tokens,
        min_repeat_count=repetition.min_repeat_count,
        min_pattern_tokens=repetition.min_pattern_tokens if repetition.HasField("min_pattern_tokens") else 1,
    )
