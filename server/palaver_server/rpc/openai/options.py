"""How to sample: OpenAI's and vLLM's parameters into the contract's options."""

from __future__ import annotations

from collections.abc import Mapping

from palaver.v1 import generation_options_pb2
from palaver_server.core.errors import invalid_field
from palaver_server.rpc.openai.body import Body, RepetitionDetection

OPTIONS: Mapping[str, str] = {
    "allowed_token_ids": "allowed_token_ids",
    "bad_words": "bad_words",
    "frequency_penalty": "frequency_penalty",
    "ignore_eos": "ignore_eos",
    "include_stop_str_in_output": "include_stop_sequence",
    "logprob_token_ids": "logprob_token_ids",
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "min_p": "min_p",
    "min_tokens": "min_output_tokens",
    "n": "choice_count",
    "presence_penalty": "presence_penalty",
    "prompt_logprobs": "prompt_top_logprobs",
    "repetition_penalty": "repetition_penalty",
    "skip_special_tokens": "skip_special_tokens",
    "spaces_between_special_tokens": "spaces_between_special_tokens",
    "stop_token_ids": "stop_token_ids",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "watermarking": "watermarking",
}
"""By OpenAI's or vLLM's name of a parameter: the contract's ``GenerationOptions`` field that holds it as it is."""

ALL_TOKENS = 2**31 - 1
"""A top_k that leaves no token out; at vLLM 0 and -1 say so."""
MAX_CONTRACT_SEED = 2**31 - 1
"""The contract's seeds are 31 bits, OpenAI's 64: a larger one goes past the contract to the domain, which has both."""


def options_to_proto(body: Body) -> generation_options_pb2.GenerationOptions:
    """The contract's options, but for a seed that it has no room for.

    Raises:
        PalaverError: a key of ``logit_bias`` is no token id.
    """
    options = generation_options_pb2.GenerationOptions()
    for name, field in OPTIONS.items():
        value = getattr(body, name)
        if isinstance(value, list):
            getattr(options, field).extend(value)
        elif value is not None:
            setattr(options, field, value)
    if body.top_k is not None and body.top_k in (0, -1):
        options.top_k = ALL_TOKENS
    if body.stop is not None:
        options.stop_sequences.extend([body.stop] if isinstance(body.stop, str) else body.stop)
    if body.logprobs:
        options.top_logprobs = body.top_logprobs or 0
    for token, bias in (body.logit_bias or {}).items():
        options.logit_bias[_token_id(token)] = bias
    if body.repetition_detection is not None and body.repetition_detection.max_pattern_size:  # 0: off, at vLLM
        options.repetition_detection.CopyFrom(_repetition_detection(body.repetition_detection))
    if body.seed is not None and 0 <= body.seed <= MAX_CONTRACT_SEED:
        options.seed = body.seed
    return options


def wide_seed(body: Body) -> int | None:
    """A seed that the contract has no room for. -1 is vLLM's word for none."""
    if body.seed is None or body.seed == -1 or 0 <= body.seed <= MAX_CONTRACT_SEED:
        return None
    return body.seed


def _token_id(written: str) -> int:
    if written.isascii() and written.isdecimal() and len(written) <= len(str(ALL_TOKENS)):
        number = int(written)
        if number <= ALL_TOKENS:
            return number
    raise invalid_field("logit_bias", f"has the key {written[:16]!r}, which is no token id")


def _repetition_detection(asked: RepetitionDetection) -> generation_options_pb2.RepetitionDetection:
    wanted = generation_options_pb2.RepetitionDetection(
        max_pattern_tokens=asked.max_pattern_size, min_repeat_count=asked.min_count
    )
    if asked.min_pattern_size:  # 0: the default, at vLLM
        wanted.min_pattern_tokens = asked.min_pattern_size
    return wanted
