"""Faults of requests, keys and servers: what is wrong, in the words of both kinds of protocol, and who is to blame."""

from __future__ import annotations

import dataclasses
from typing import Any

from palaver_server.core.errors import Reason


def said(text: Any = "one two three", role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": text}


@dataclasses.dataclass(frozen=True)
class Fault:
    """One thing that is wrong, in the words of both kinds of protocol."""

    name: str
    reason: Reason
    typed: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of a ``ChatRequest`` in JSON."""
    openai: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of a body of OpenAI's."""
    field: str | None = None
    param: str | None = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    raw: bytes | None = None
    """Sent as it is, in place of any request."""


def option(name: str, value: Any, param: str | None = None, **more: Any) -> Fault:
    """A knob out of its range; OpenAI's name is the contract's unless given."""
    spelled = param or name
    return Fault(
        f"{name} {str(value)[:24]}",
        Reason.INVALID_FIELD,
        {"options": {name: value, **more}},
        {spelled: value, **more},
        f"options.{name}",
        spelled,
    )


def turns(name: str, typed: list[dict[str, Any]], openai: list[dict[str, Any]], blamed: str, param: str = "") -> Fault:
    return Fault(name, Reason.INVALID_FIELD, {"messages": typed}, {"messages": openai}, blamed, param or blamed)


USER = {"role": "ROLE_USER", "content": [{"text": "one two three"}]}
BOT = {"role": "ROLE_ASSISTANT", "content": [{"text": "yes"}]}

FAULTS = [
    option("temperature", 3),
    option("temperature", -0.5),
    option("top_p", 1.5),
    option("top_p", -1),
    option("top_k", -5),
    option("min_p", 2),
    option("min_p", -0.1),
    option("presence_penalty", 2.5),
    option("presence_penalty", -2.5),
    option("frequency_penalty", 2.5),
    option("frequency_penalty", -2.5),
    option("repetition_penalty", 0),
    option("repetition_penalty", 2.5),
    option("max_output_tokens", 0, "max_completion_tokens"),
    option("max_output_tokens", -1, "max_tokens"),
    option("max_output_tokens", 10**6, "max_completion_tokens"),
    option("stop_sequences", ["x"] * 65, "stop"),
    option("choice_count", 0, "n"),
    option("choice_count", 129, "n"),
    option("min_output_tokens", -1, "min_tokens"),
    option("stop_token_ids", [1] * 129),
    option("allowed_token_ids", [1] * 65537),
    option("bad_words", ["x"] * 129),
    option("prompt_top_logprobs", 21, "prompt_logprobs"),
    option("prompt_top_logprobs", -1, "prompt_logprobs"),
    Fault(
        "an empty stop sequence",
        Reason.INVALID_FIELD,
        {"options": {"stop_sequences": ["a", ""]}},
        {"stop": ["a", ""]},
        "options.stop_sequences[1]",
        "stop[1]",
    ),
    Fault(
        "more alternatives than there are",
        Reason.INVALID_FIELD,
        {"options": {"top_logprobs": 21}},
        {"logprobs": True, "top_logprobs": 21},
        "options.top_logprobs",
        "top_logprobs",
    ),
    Fault(
        "the fewest above the most",
        Reason.INVALID_FIELD,
        {"options": {"min_output_tokens": 5, "max_output_tokens": 2}},
        {"min_tokens": 5, "max_tokens": 2},
        "options.min_output_tokens",
        "min_tokens",
    ),
    Fault(
        "a bias out of its range",
        Reason.INVALID_FIELD,
        {"options": {"logit_bias": {"7": 101}}},
        {"logit_bias": {"7": 101}},
        "options.logit_bias[7]",
        "logit_bias[7]",
    ),
    Fault("a long user", Reason.INVALID_FIELD, {"user_id": "u" * 257}, {"user": "u" * 257}, "user_id", "user"),
    Fault("a priority", Reason.INVALID_FIELD, {"priority": 101}, {"priority": 101}, "priority", "priority"),
    Fault("a long model name", Reason.INVALID_FIELD, {"model": "m" * 513}, {"model": "m" * 513}, "model", "model"),
    Fault("another model", Reason.MODEL_NOT_FOUND, {"model": "other"}, {"model": "other"}, "model", "model"),
    Fault(
        "a label without a name",
        Reason.INVALID_FIELD,
        {"labels": {"": "x"}},
        {"metadata": {"": "x"}},
        "labels[]",
        "metadata[]",
    ),
    turns("no messages", [], [], "messages"),
    turns("ends with an answer", [USER, BOT], [said(), said("yes", "assistant")], "messages"),
    turns("ends with a rule", [{**USER, "role": "ROLE_SYSTEM"}], [said("obey", "system")], "messages"),
    turns("nothing said", [{"role": "ROLE_USER"}], [{"role": "user"}], "messages[0].content"),
    turns(
        "too many parts",
        [{**USER, "content": [{"text": ""}] * 1025}],
        [said([{"type": "text", "text": ""}] * 1025)],
        "messages[0].content",
    ),
    turns("a long name", [{**USER, "name": "n" * 65}], [{**said(), "name": "n" * 65}], "messages[0].name"),
    turns(
        "thoughts of a user", [{**USER, "reasoning": "hm"}], [{**said(), "reasoning": "hm"}], "messages[0].reasoning"
    ),
    Fault(
        "what needs a model",
        Reason.FIELD_NOT_SUPPORTED,
        {"options": {"ignore_eos": True}},
        {"ignore_eos": True},
        "options.ignore_eos",
        "ignore_eos",
    ),
    Fault("no request at all", Reason.MALFORMED_REQUEST, raw=b"\xff{"),
    Fault(
        "a conversation that is too long",
        Reason.PROMPT_TOO_LONG,
        {"messages": [{"role": "ROLE_USER", "content": [{"text": "word " * 9000}]}]},
        {"messages": [said("word " * 9000)]},
        "messages",
        "messages",
    ),
]
"""Of a server that is well."""

FULL = Fault("full", Reason.SERVER_OVERLOADED)
NOT_LOADED = Fault("loading", Reason.MODEL_LOADING)
DRAINING = Fault("draining", Reason.SERVER_DRAINING)
DEAD = Fault("dead", Reason.ENGINE_UNAVAILABLE)
GAVE_UP = Fault("gave up", Reason.GENERATION_FAILED)
LATE = Fault("late", Reason.DEADLINE_EXCEEDED, headers={"grpc-timeout": "1500m"})
KEY_MISSING = Fault("no key", Reason.KEY_MISSING)
KEY_MALFORMED = Fault("no key of ours", Reason.KEY_MALFORMED, headers={"x-api-key": "sk-something"})
# These need a key, or one that nobody else has shown.
KEY_UNKNOWN = Fault("an invented key", Reason.KEY_UNKNOWN)
KEY_EXPIRED = Fault("an expired key", Reason.KEY_EXPIRED)
KEY_REVOKED = Fault("a revoked key", Reason.KEY_REVOKED)
METHOD_NOT_ALLOWED = Fault("a key for other methods", Reason.METHOD_NOT_ALLOWED)
MODEL_NOT_ALLOWED = Fault("a key for other models", Reason.MODEL_NOT_ALLOWED, field="model", param="model")
RATE_LIMITED = Fault("a key that is used up", Reason.RATE_LIMITED)
GUESSING = Fault("wrong keys without end", Reason.TOO_MANY_FAILED_ATTEMPTS)
KEY_FAULTS = [
    *(KEY_MISSING, KEY_MALFORMED, KEY_UNKNOWN, KEY_EXPIRED, KEY_REVOKED),
    *(METHOD_NOT_ALLOWED, MODEL_NOT_ALLOWED, RATE_LIMITED, GUESSING),
]
WALKED = [*FAULTS, *KEY_FAULTS, FULL, NOT_LOADED, DRAINING, DEAD, GAVE_UP, LATE]

NOT_WALKED = {
    Reason.SERVICE_NOT_FOUND: "of health by name, which is gRPC's alone (tests/wire/test_health.py)",
    Reason.METHOD_NOT_FOUND: "the edge routes the paths that exist, and says 404 itself (test_bad_input.py)",
    Reason.READER_TOO_SLOW: "Envoy reads for its caller, up to its buffers; told over gRPC (test_slow_readers.py)",
    Reason.DEADLINE_TOO_SHORT: "a race over HTTP: Envoy may end so short a call first; walked over gRPC below",
    Reason.CANCELLED: "nobody is left to be told (test_leaving.py)",
    Reason.INTERNAL: "only a fault of ours leads to it; its shape is shown in tests/rpc",
}
"""Why no call over every protocol can meet these."""
