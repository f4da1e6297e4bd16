"""What OpenAI's or vLLM's server would take and this one does not, each with its reason.

One rule decides. A parameter is taken where this server does what it asks for, or where that holds of itself: that is
``prompt_cache_key``, since all of a client's calls share one cache. A parameter that stands here may still be sent with
the value that asks for nothing beyond what every call gets, since clients write out defaults. All else is refused by
name, hints as well: whoever sends ``prediction`` waits for a faster answer, and would get none and not be told. A name
that stands neither here nor in ``body`` is refused too.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Refused(NamedTuple):
    """Why a parameter is not taken."""

    reason: str
    """Ends the sentence that begins with the parameter's name."""
    neutral: tuple[Any, ...] = ()
    """Values that ask for nothing and so are passed over; null always is."""


_INTERNAL = "belongs to the server and is not taken from clients"
_NO_MEDIA = "is not supported: this server reads and writes text"
_NO_BEAMS = "is not supported: this server samples and does not search with beams"
_NO_STORE = "is not supported: this server keeps no answers"
_NO_CONTENT_CACHE = "is not supported: prefixes are cached by themselves, for each client apart"
_NO_CUSTOM_TOOLS = "is not supported: tools are functions, with arguments in JSON"
_OLD_TOOLS = "is OpenAI's old way to offer tools; use tools and tool_choice"
_RENDERING = "is not supported: prompts are rendered by the server's own chat template"

PARAMETERS: dict[str, Refused] = {
    # Of OpenAI's protocol.
    "audio": Refused(_NO_MEDIA),
    "function_call": Refused(_OLD_TOOLS),
    "functions": Refused(_OLD_TOOLS),
    "modalities": Refused(_NO_MEDIA, (["text"],)),
    "moderation": Refused("is not supported: this server does not moderate"),
    "prediction": Refused("is not supported: this server takes no predicted output, so it would gain no time"),
    "prompt_cache_options": Refused(_NO_CONTENT_CACHE, ({"mode": "implicit"},)),
    "prompt_cache_retention": Refused("is not supported: prefixes are cached in memory alone", ("in_memory",)),
    "service_tier": Refused("is not supported: a client's tier goes with its key", ("auto", "default")),
    "store": Refused(_NO_STORE, (False,)),
    "verbosity": Refused("is not supported: say in the messages how long answers shall be", ("medium",)),
    "web_search_options": Refused("is not supported: this server does not search the web"),
    # Of vLLM's server, and open to misuse: what they change is the server's own, or another client's.
    "cache_salt": Refused("is chosen by the server, so that clients cannot read each other's cache"),
    "chat_template": Refused(f"{_RENDERING}, and a template is a program"),
    "documents": Refused(_RENDERING),
    "ec_transfer_params": Refused(_INTERNAL),
    "kv_transfer_params": Refused(_INTERNAL),
    "media_io_kwargs": Refused(_INTERNAL),
    "mm_payload": Refused(_INTERNAL, ("tensors",)),
    "mm_processor_kwargs": Refused(_INTERNAL),
    "request_id": Refused("is not taken from the body; send the header x-request-id"),
    "return_mm_kwargs": Refused(_INTERNAL),
    "routed_experts_prompt_start": Refused(_INTERNAL, (0,)),
    "session_id": Refused(_INTERNAL),
    "vllm_xargs": Refused(_INTERNAL),
    # Of vLLM's server, and not what this one does.
    "add_special_tokens": Refused(_RENDERING, (False,)),
    "echo": Refused("is not supported: put what was sent before the answer yourself", (False,)),
    "length_penalty": Refused(_NO_BEAMS, (1, 1.0)),
    "return_token_offsets": Refused("is not supported: it belongs to vLLM's render endpoints", (False,)),
    "return_tokens_as_token_ids": Refused("is not supported; see return_token_ids", (False,)),
    "use_beam_search": Refused(_NO_BEAMS, (False,)),
    "best_of": Refused("is not supported: set n, and choose yourself"),
    "early_stopping": Refused(_NO_BEAMS, (False,)),
    # Gone from vLLM, which ignores them; an answer that was to be held to a form would come without.
    "guided_choice": Refused("is an old name; use structured_outputs.choice"),
    "guided_decoding_backend": Refused(_INTERNAL),
    "guided_grammar": Refused("is an old name; use structured_outputs.grammar"),
    "guided_json": Refused("is an old name; use response_format or structured_outputs.json"),
    "guided_regex": Refused("is an old name; use structured_outputs.regex"),
    "guided_whitespace_pattern": Refused(_INTERNAL),
}
"""Of the request itself."""

MESSAGE_FIELDS: dict[str, Refused] = {
    "annotations": Refused(_NO_MEDIA, ([],)),
    "audio": Refused(_NO_MEDIA),
    "function_call": Refused(_OLD_TOOLS),
    "refusal": Refused("is not supported: put it into content"),
}
"""Of a message. Clients send an earlier answer back as they got it, with its empty fields."""

CONTENT_FIELDS: dict[str, Refused] = {
    kind: Refused(_NO_MEDIA)
    for kind in ("audio_url", "file", "image_url", "input_audio", "refusal", "video_url", "image_embeds")
} | {"prompt_cache_breakpoint": Refused(_NO_CONTENT_CACHE)}
"""Of a part of a message's content."""

STREAM_OPTIONS: dict[str, Refused] = {
    "include_obfuscation": Refused("is not supported: chunks are not padded", (False,)),
}

STRUCTURED_OUTPUTS: dict[str, Refused] = {
    "disable_additional_properties": Refused("is not supported: say it in the schema", (False,)),
    "disable_any_whitespace": Refused(_INTERNAL, (False,)),
    "whitespace_pattern": Refused(_INTERNAL),
}
"""vLLM takes these with a request and its engine heeds the server's own."""

TOOL_FIELDS: dict[str, Refused] = {
    "custom": Refused(_NO_CUSTOM_TOOLS),
    "defer_loading": Refused("is not supported: every tool that is offered is shown to the model", (False,)),
}

TOOL_CHOICE_FIELDS: dict[str, Refused] = {
    "allowed_tools": Refused("is not supported: offer the allowed tools alone, with tool_choice auto or required"),
    "custom": Refused(_NO_CUSTOM_TOOLS),
}

TOOL_CALL_FIELDS: dict[str, Refused] = {
    "custom": Refused(_NO_CUSTOM_TOOLS),
}
"""Of a call in an earlier turn."""


def is_neutral(refused: Refused, value: object) -> bool:
    """Whether a value asks for nothing. ``1`` is not ``True`` here."""
    return any(type(value) is type(neutral) and value == neutral for neutral in refused.neutral)
