"""What an engine without a model cannot give, refused by the field's name."""

from __future__ import annotations

from palaver_server.core.context import ContextOverflow
from palaver_server.core.errors import FieldViolation, PalaverError, Reason
from palaver_server.core.generation import GenerationRequest

_CUTS = (ContextOverflow.TRUNCATE_START, ContextOverflow.TRUNCATE_END)
SENTENCE = "the scripted engine has no model that it could come from; leave it unset"


def refuse_what_needs_a_model(request: GenerationRequest) -> None:
    """See that a request asks for nothing that only a vocabulary or a scheduler has.

    Raises:
        PalaverError: ``FIELD_NOT_SUPPORTED``, naming each field.
    """
    options, wanted = request.options, request.response_options
    asked = {
        "reasoning.effort": request.reasoning.effort is not None,
        "context_policy.overflow": request.context_policy.overflow in _CUTS,
        "priority": bool(request.priority),
        "options.top_logprobs": options.top_logprobs is not None,
        "options.logprob_token_ids": bool(options.logprob_token_ids),
        "options.prompt_top_logprobs": options.prompt_top_logprobs is not None,
        "options.stop_token_ids": bool(options.stop_token_ids),
        "options.allowed_token_ids": bool(options.allowed_token_ids),
        "options.logit_bias": bool(options.logit_bias),
        "options.bad_words": bool(options.bad_words),
        "options.min_output_tokens": bool(options.min_output_tokens),
        "options.ignore_eos": bool(options.ignores_eos),
        "options.include_stop_sequence": bool(options.includes_stop_sequence),
        "options.repetition_detection": options.repetition_detection is not None,
        "response_options.include_token_ids": wanted.token_ids,
    }
    paths = [f"{request.field_prefix}{path}" for path, is_set in asked.items() if is_set]
    if paths:
        raise PalaverError(
            Reason.FIELD_NOT_SUPPORTED,
            f"{paths[0]}: {SENTENCE}",
            violations=[FieldViolation(path, SENTENCE) for path in paths],
        )
