"""vLLM's exceptions in the words of palaver, mapped where vLLM is called."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pydantic
import structlog
from jinja2 import TemplateError
from vllm.exceptions import GracefulHTTPError, VLLMClientError, VLLMServerError
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from palaver_server.core.chat import RESTART_RETRY_SECONDS
from palaver_server.core.errors import PalaverError, Reason, invalid_field

log = structlog.get_logger("palaver.engine")

OVERLOAD_RETRY_SECONDS = 1.0
"""vLLM's own queue limits do not tell when there will be room."""
MAX_SENTENCE_CHARACTERS = 300

_FIELDS = {
    "messages": ("messages", "the model's chat template cannot take these messages"),
    "max_tokens": ("options.max_output_tokens", "must be at least 1"),
    "temperature": ("options.temperature", "must be from 0 to 2"),
    "top_p": ("options.top_p", "must be from 0 to 1"),
    "top_k": ("options.top_k", "must be at least 1"),
    "min_p": ("options.min_p", "must be from 0 to 1"),
    "presence_penalty": ("options.presence_penalty", "must be from -2 to 2"),
    "frequency_penalty": ("options.frequency_penalty", "must be from -2 to 2"),
    "repetition_penalty": ("options.repetition_penalty", "must be over 0 and finite"),
    "stop": ("options.stop_sequences", "must hold texts that are not empty"),
    "n": ("options.choice_count", "must be 1 at temperature 0, where all choices would be the same"),
    "min_tokens": ("options.min_output_tokens", "must not be more than the answer can have"),
    "logprobs": ("options.top_logprobs", "is more than this server reports"),
    "prompt_logprobs": ("options.prompt_top_logprobs", "is more than this server reports"),
    "logprob_token_ids": ("options.logprob_token_ids", "must hold tokens of the model's vocabulary"),
    "logit_bias": ("options.logit_bias", "must be for tokens of the model's vocabulary"),
    "stop_token_ids": ("options.stop_token_ids", "must hold tokens of the model's vocabulary"),
    "allowed_token_ids": ("options.allowed_token_ids", "must hold tokens of the model's vocabulary"),
    "bad_words": ("options.bad_words", "must hold words that make tokens of the model, and not too many of them"),
    "max_pattern_size": ("options.repetition_detection", "must have a shortest pattern not above the longest"),
    "min_count": ("options.repetition_detection", "must ask for two repetitions at least"),
    "seed": ("options.seed", "must be a whole number of 64 bits with sign"),
}
"""By vLLM's name of a parameter: our field, and the rule that it broke."""

_CLIENT_ERRORS = (VLLMClientError, ValueError, TypeError, NotImplementedError, TemplateError)


@contextmanager
def translated(field_prefix: str) -> Iterator[None]:
    """Turn what vLLM raises in the body into a ``PalaverError``.

    Args:
        field_prefix: stands before the paths of the request's fields.
    """
    try:
        yield
    except (PalaverError, asyncio.CancelledError):
        raise
    except EngineDeadError as error:
        raise engine_unavailable() from error
    except GracefulHTTPError as error:
        raise PalaverError(
            Reason.SERVER_OVERLOADED,
            "The engine's own queue is full. Try again after the time given.",
            retry_after_seconds=OVERLOAD_RETRY_SECONDS,
        ) from error
    except _CLIENT_ERRORS as error:
        raise _refusal(error, field_prefix) from error
    except (VLLMServerError, TimeoutError) as error:
        raise generation_failed(error) from error


@contextmanager
def generating(field_prefix: str) -> Iterator[None]:
    """As ``translated``, for what has been checked before: what vLLM does not blame on the caller fails the request.

    Args:
        field_prefix: stands before the paths of the request's fields.
    """
    with translated(field_prefix):
        try:
            yield
        except (PalaverError, VLLMClientError, VLLMServerError, GracefulHTTPError):
            raise
        except Exception as error:
            raise EngineGenerateError from error


def engine_unavailable() -> PalaverError:
    """Tell a caller that the engine is gone and will be back."""
    return PalaverError(
        Reason.ENGINE_UNAVAILABLE,
        "The engine has stopped; the server is going down to be started anew.",
        retry_after_seconds=RESTART_RETRY_SECONDS,
    )


def generation_failed(cause: BaseException | None = None) -> PalaverError:
    """Tell a caller that this one request failed; the log gets the cause."""
    log.error("generation failed", exc_info=cause)
    return PalaverError(Reason.GENERATION_FAILED, "The engine failed on this request; it may succeed another time.")


def _refusal(error: Exception, field_prefix: str) -> PalaverError:
    if (sentence := _template_sentence(error)) is not None:
        return invalid_field(f"{field_prefix}messages", sentence)
    field, rule = _FIELDS.get(_parameter(error), _FIELDS["messages"])
    return invalid_field(f"{field_prefix}{field}", rule)


def _parameter(error: Exception) -> str:
    """Find vLLM's name for what it refuses: told outright, or by pydantic, or as the first word of the message."""
    if isinstance(error, pydantic.ValidationError):
        return str(error.errors()[0]["loc"][0])
    if (parameter := getattr(error, "parameter", None)) is not None:
        return str(parameter)
    first_word = re.match(r"\w+", str(error))
    return first_word.group() if first_word else ""


def _template_sentence(error: BaseException) -> str | None:
    """Find what the chat template itself says against the messages, such as that roles must alternate."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, TemplateError):
        cause = cause.__cause__
    if cause is None:
        return None
    sentence = " ".join(str(cause).split())[:MAX_SENTENCE_CHARACTERS]
    return f"the model's chat template refuses them: {sentence}"
