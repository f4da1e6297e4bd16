"""What an engine without a model cannot give, refused by the field's name."""

from __future__ import annotations

from palaver_server.core.errors import FieldViolation, PalaverError, Reason
from palaver_server.core.generation import GenerationRequest

SENTENCE = "the scripted engine has no model that it could come from; leave it unset"


def refuse_what_needs_a_model(request: GenerationRequest) -> None:
    """See that a request asks for words alone.

    Raises:
        PalaverError: ``FIELD_NOT_SUPPORTED``, naming each field.
    """
    options, wanted = request.options, request.response_options
    asked = {
        "tools": bool(request.tools),
        "response_format": request.response_format is not None,
        "reasoning": bool(request.reasoning.is_enabled or request.reasoning.effort or request.reasoning.budget_tokens),
        "context_policy": request.context_policy != type(request.context_policy)(),
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
        "response_options.include_prompt_text": wanted.prompt_text,
        "response_options.include_effective_options": wanted.effective_options,
    }
    paths = [f"{request.field_prefix}{path}" for path, is_set in asked.items() if is_set]
    if paths:
        raise PalaverError(
            Reason.FIELD_NOT_SUPPORTED,
            f"{paths[0]}: {SENTENCE}",
            violations=[FieldViolation(path, SENTENCE) for path in paths],
        )
