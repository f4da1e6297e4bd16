"""What a call may be told, as typed keyword arguments.

Every option is optional: left out, or None, means the server's default. Ranges are those of the contract and are
checked by the server, which refuses a value outside its range with ``errors.InvalidRequest``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, NotRequired, Protocol, Required, TypeAlias, TypedDict

from palaver.v1 import (
    context_policy_pb2,
    generation_options_pb2,
    message_pb2,
    reasoning_options_pb2,
    response_format_pb2,
    tool_call_pb2,
    tool_pb2,
)
from palaver_client.tool_call import ToolCall


class SchemaModel(Protocol):
    """A class that tells its JSON Schema, as those of pydantic do."""

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        """The schema."""


class MessageDict(TypedDict, total=False):
    """A turn of a conversation, as a plain dictionary."""

    role: Required[Literal["system", "user", "assistant", "tool"]]
    """The one who speaks."""
    content: str | None
    """What is said."""
    name: str
    """The name of the one who speaks, where several share a role."""
    reasoning: str
    """What the assistant thought before it spoke."""
    tool_calls: Sequence[tool_call_pb2.ToolCall | ToolCall]
    """The tools that the assistant calls in this turn, such as ``answer.tool_calls``."""
    tool_call_id: str
    """The id of the tool call that a ``tool`` message answers."""


class ToolDict(TypedDict):
    """A function that the model may ask to have called, as a plain dictionary."""

    name: str
    """1 to 128 letters, digits, ``_``, ``-`` and ``.``."""
    description: NotRequired[str]
    """What the tool does and when to use it."""
    parameters: NotRequired[Mapping[str, object]]
    """The JSON Schema of the arguments, an object schema. Left out: the tool takes none."""
    strict: NotRequired[bool]
    """Whether the model is held to the schema. Default: no."""


MessageLike: TypeAlias = message_pb2.Message | MessageDict
"""A message of the contract, or the same as a dictionary."""
Prompt: TypeAlias = str | MessageLike | Sequence[MessageLike]
"""What to answer: the user's words, one message, or a conversation, oldest message first."""
Seconds: TypeAlias = float | timedelta
ReasoningEffort: TypeAlias = Literal["minimal", "low", "medium", "high", "xhigh", "max"]
ContextOverflow: TypeAlias = Literal["reject", "drop_oldest", "truncate_start", "truncate_end"]


class CallOptions(TypedDict, total=False):
    """How one call is made."""

    timeout: float | None
    """Seconds for the whole call, its retries and its stream included, above 0; None for no limit. Default: the
    client's."""
    request_id: str
    """The name of the call in the server's log, 1 to 128 of ``A-Z a-z 0-9 . _ : / + = -``. Default: a new one. All
    attempts of a call have the same."""
    metadata: Mapping[str, str | bytes]
    """More gRPC metadata, such as ``traceparent``. Names are lower-case; a value is bytes if its name ends in -bin."""


class ChatOptions(CallOptions, total=False):
    """What an answer is to be like."""

    model: str
    """The model that is to answer, by its id or an alias. Default: the client's, else the server's default model."""

    max_output_tokens: int
    """The most tokens of each choice, from 1. Default: what the context leaves."""
    temperature: float
    """How random the choice of tokens is, 0 to 2. 0 always takes the likeliest token."""
    top_p: float
    """Only the likeliest tokens whose probabilities add up to this are considered, 0 to 1."""
    top_k: int
    """Only this many of the likeliest tokens are considered, from 1."""
    min_p: float
    """Only tokens at least this many times as likely as the likeliest are considered, 0 to 1."""
    presence_penalty: float
    """Taken from the logit of every token that the answer already has, -2 to 2."""
    frequency_penalty: float
    """Taken from the logit of a token once for every time the answer has it, -2 to 2."""
    repetition_penalty: float
    """Divides the logits of tokens that prompt or answer already have, above 0 and up to 2. 1 is neutral."""
    stop_sequences: str | Sequence[str]
    """Texts that end a choice, at most 64, each of 1 to 256 characters."""
    seed: int
    """The start of the random numbers, from 0."""
    choice_count: int
    """How many answers to generate, 1 to 128. ``Answer.choices`` has them all; its other attributes tell the first."""
    top_logprobs: int
    """How many of the likeliest tokens to report at each place of the answer, 0 to 20."""
    time_limit: Seconds
    """Seconds after which generation ends with what there is, and the finish reason ``time_limit``. Up to 24 hours."""
    stop_before_deadline: bool
    """Whether to end generation shortly before the call's timeout, as with ``time_limit``, rather than to fail."""
    min_output_tokens: int
    """The fewest tokens that each choice has before it may end by itself, from 0."""
    stop_token_ids: Sequence[int]
    """Tokens that end a choice, at most 128."""
    ignore_eos: bool
    """Whether to go on after the model's end-of-sequence token. Meant for measurements."""
    include_stop_sequence: bool
    """Whether the stop sequence that ended a choice is part of the answer."""
    skip_special_tokens: bool
    """Whether special tokens are left out of the text. Default: yes."""
    spaces_between_special_tokens: bool
    """Whether special tokens that are kept in the text are parted by spaces. Default: yes."""
    logit_bias: Mapping[int, float]
    """Added to the logits of tokens, by token id, -100 to 100 each, at most 1024 tokens."""
    bad_words: Sequence[str]
    """Words that the answer must not have, at most 128."""
    allowed_token_ids: Sequence[int]
    """The only tokens that may be generated."""
    logprob_token_ids: Sequence[int]
    """Tokens whose log probabilities are reported at each place, instead of the likeliest, at most 128."""
    prompt_top_logprobs: int
    """How many of the likeliest tokens to report at each place of the prompt, 0 to 20."""
    repetition_detection: generation_options_pb2.RepetitionDetection
    """Ends a choice that has begun to repeat itself, with the finish reason ``repetition``."""
    watermarking: bool
    """Whether the answer carries the engine's watermark, where it has one. Default: yes."""

    tools: Sequence[tool_pb2.Tool | ToolDict]
    """The tools that the model may ask to have called, at most 128."""
    tool_choice: str | tool_pb2.ToolChoice
    """``auto``, ``none``, ``required``, or the name of the one tool that must be called."""
    parallel_tool_calls: bool
    """Whether the model may call several tools in one turn. Default: yes."""
    response_format: (
        Literal["text", "json_object"] | Mapping[str, object] | type[SchemaModel] | response_format_pb2.ResponseFormat
    )
    """The form that the answer is held to: ``json_object``, a JSON Schema as a mapping, a class of pydantic's, or a
    message of the contract for regular expressions, choices and grammars. ``Answer.json`` and ``Answer.parsed`` read
    it."""
    reasoning: bool | ReasoningEffort | reasoning_options_pb2.ReasoningOptions
    """Whether the model thinks, or how much, or a message of the contract for budgets. Default: as the model does."""
    context_policy: ContextOverflow | context_policy_pb2.ContextPolicy
    """What happens to a conversation that is longer than the model's context. Default: ``reject``."""
    continue_final_message: bool
    """Whether the last message, which must be the assistant's, is continued rather than answered."""
    chat_template_arguments: Mapping[str, object]
    """Arguments for the model's chat template."""
    include_effective_options: bool
    """Whether ``Answer.proto`` names the options that were in force."""
    include_token_ids: bool
    """Whether ``Answer.proto`` carries the ids of the tokens."""
    include_prompt_text: bool
    """Whether ``Answer.proto`` carries the text that the chat template made of the conversation."""
    user_id: str
    """The caller's own name for its end user, for the server's audit trail, at most 256 characters."""
    labels: Mapping[str, str]
    """The caller's own marks on the request, for the server's audit trail, at most 64."""
    priority: int
    """The place of the request before others that wait, -100 to 100; lower runs first."""


class StreamOptions(ChatOptions, total=False):
    """What an answer is to be like that comes piece by piece."""

    include_running_usage: bool
    """Whether every delta carries the tokens counted so far."""
    min_tokens_per_delta: int
    """The fewest tokens that are gathered into one delta, 1 to 1024: less work at both ends."""
