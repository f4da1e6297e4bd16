"""What only OpenAI's protocol can contradict itself in: a thing said twice, or said where it means nothing.

vLLM's server takes most of these and drops one of the two; here nothing that was asked for is dropped in silence.
"""

from __future__ import annotations

from palaver_server.core.errors import invalid_field
from palaver_server.rpc.openai.body import Body, Message, RepetitionDetection


def refuse_contradictions(body: Body) -> None:
    """Look at fields that lean on each other.

    Raises:
        PalaverError: ``INVALID_FIELD``, naming the one that cannot be heeded.
    """
    _check_stream(body)
    if _differ(body.max_tokens, body.max_completion_tokens):
        raise invalid_field("max_tokens", "differs from max_completion_tokens; send the latter alone")
    if _differ(body.user, body.safety_identifier):
        raise invalid_field("user", "differs from safety_identifier; send the latter alone")
    if body.top_logprobs and not body.logprobs:
        raise invalid_field("top_logprobs", "needs logprobs set to true")
    if body.logprob_token_ids and not body.logprobs:
        raise invalid_field("logprob_token_ids", "needs logprobs set to true")
    if body.tools == []:
        raise invalid_field("tools", "must not be an empty list; leave it out to offer none")
    if body.add_generation_prompt is not None and body.add_generation_prompt is bool(body.continue_final_message):
        raise invalid_field("add_generation_prompt", "must be false with continue_final_message, and true without")
    if body.truncation_side is not None and body.truncate_prompt_tokens is None:
        raise invalid_field("truncation_side", "needs truncate_prompt_tokens")
    if body.repetition_detection is not None:
        _check_repetition(body.repetition_detection)
    for index, message in enumerate(body.messages):
        _check_reasoning(message, f"messages[{index}]")


def _check_stream(body: Body) -> None:
    if not body.stream:
        for name in ("stream_options", "stream_interval"):
            if getattr(body, name) is not None:
                raise invalid_field(name, "is only for streams; set stream to true too")
    if body.stream_interval is not None and body.stream_interval < 1:
        raise invalid_field("stream_interval", "must be at least 1")
    options = body.stream_options
    if options is not None and options.continuous_usage_stats and not options.include_usage:
        raise invalid_field("stream_options.continuous_usage_stats", "needs include_usage set to true")


def _check_repetition(asked: RepetitionDetection) -> None:
    is_off = asked.max_pattern_size == 0
    if is_off and asked.min_count and "max_pattern_size" not in asked.model_fields_set:  # a written 0 says off
        raise invalid_field("repetition_detection.max_pattern_size", "is required with min_count")
    if is_off and asked.min_pattern_size:
        raise invalid_field("repetition_detection.max_pattern_size", "must be at least min_pattern_size")


def _check_reasoning(message: Message, path: str) -> None:
    first = message.reasoning or message.reasoning_content
    if message.reasoning_content and message.reasoning_content != first:
        raise invalid_field(f"{path}.reasoning_content", "differs from reasoning; send the latter alone")
    beside = message.provider_specific_fields.reasoning
    if first and beside and beside != first:
        raise invalid_field(f"{path}.provider_specific_fields.reasoning", "differs from the message's own; send one")


def _differ(one: object, other: object) -> bool:
    return one is not None and other is not None and one != other
