"""The JSON of a request: its fields and their types. Ranges and rules stand in the contract, not here.

Types are strict: ``true`` is no number and ``"1"`` is none either. Null means that a field is unset, everywhere in a
typed object; inside a schema or the arguments of a template it keeps its own meaning.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from palaver_server.rpc.openai import refused
from palaver_server.rpc.openai.refused import Refused, is_neutral

LIST_TAG, TEXT_TAG, OBJECT_TAG = "<list>", "<text>", "<object>"
"""Which branch of a union was taken, as pydantic puts it into the place of an error; no caller wrote it."""

Int32 = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
"""What the contract's integers hold."""
Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]


class JsonObject(BaseModel):
    """An object whose fields are known; others are refused by name."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=True)
    refused: ClassVar[dict[str, Refused]] = {}

    @model_validator(mode="before")
    @classmethod
    def drop_what_asks_for_nothing(cls, data: Any) -> Any:
        """Pass over nulls, and the neutral values of refused fields."""
        if not isinstance(data, dict):
            return data
        refusals = cls.refused
        return {
            name: value
            for name, value in data.items()
            if value is not None and not (name in refusals and is_neutral(refusals[name], value))
        }


def _text_or_list(value: object) -> str | None:
    return TEXT_TAG if isinstance(value, str) else LIST_TAG if isinstance(value, list) else None


def _text_or_object(value: object) -> str | None:
    return TEXT_TAG if isinstance(value, str) else OBJECT_TAG if isinstance(value, dict | BaseModel) else None


_TEXT_OR_LIST = Discriminator(_text_or_list, "text_or_list", "must be a string or a list")
_TEXT_OR_OBJECT = Discriminator(_text_or_object, "text_or_object", "must be a string or an object")


class TextPart(JsonObject):
    """``{"type": "text", "text": ...}``."""

    refused = refused.CONTENT_FIELDS
    type: Literal["text"]
    text: str


class CalledFunction(JsonObject):
    """What a tool call of an earlier turn called."""

    name: str
    arguments: str = ""


class ToolCall(JsonObject):
    """A tool call of an earlier turn."""

    refused = refused.TOOL_CALL_FIELDS
    id: str = ""
    type: Literal["function"] = "function"
    function: CalledFunction


class OwnFields(JsonObject):
    """What litellm puts beside a message of an earlier answer: the fields that the answer had and OpenAI's have not."""

    reasoning: str = ""


class Message(JsonObject):
    """A turn. Which field fits which role is a rule of the contract."""

    refused = refused.MESSAGE_FIELDS
    role: Literal["developer", "system", "user", "assistant", "tool"]
    content: (
        Annotated[Annotated[str, Tag(TEXT_TAG)] | Annotated[list[TextPart], Tag(LIST_TAG)], _TEXT_OR_LIST] | None
    ) = None
    name: str = ""
    tool_calls: list[ToolCall] = []
    tool_call_id: str = ""
    reasoning: str = ""
    reasoning_content: str = ""
    """The older name of ``reasoning``."""
    provider_specific_fields: OwnFields = OwnFields()


class Function(JsonObject):
    """A tool that is offered."""

    refused = refused.TOOL_FIELDS
    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(JsonObject):
    """``{"type": "function", "function": ...}``."""

    refused = refused.TOOL_FIELDS
    type: Literal["function"]
    function: Function


class ChosenFunction(JsonObject):
    """The tool that must be called."""

    name: str


class ToolChoice(JsonObject):
    """``{"type": "function", "function": {"name": ...}}``."""

    refused = refused.TOOL_CHOICE_FIELDS
    type: Literal["function"] = "function"
    function: ChosenFunction


class JsonSchema(JsonObject):
    """A schema that the answer is held to; ``strict`` or not, it always is."""

    name: str
    description: str = ""
    json_schema: dict[str, Any] = Field({}, alias="schema")
    strict: bool | None = None


class ResponseFormat(JsonObject):
    """The form of the answer."""

    type: Literal["text", "json_object", "json_schema", "structural_tag"]
    json_schema: JsonSchema | None = None
    format: Any = None
    structures: list[Any] | None = None
    triggers: list[str] | None = None


class StructuredOutputs(JsonObject):
    """vLLM's wider choice of forms; exactly one is set."""

    refused = refused.STRUCTURED_OUTPUTS
    json_: (
        Annotated[Annotated[str, Tag(TEXT_TAG)] | Annotated[dict[str, Any], Tag(OBJECT_TAG)], _TEXT_OR_OBJECT] | None
    ) = Field(None, alias="json")
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    structural_tag: str | None = None


class StreamOptions(JsonObject):
    """What a stream carries beside the answer."""

    refused = refused.STREAM_OPTIONS
    include_usage: bool = False
    """One more chunk at the end, with the usage of the whole call and no choices."""
    continuous_usage_stats: bool = False
    """Every chunk carries the usage so far of its choice. Needs ``include_usage``, as at vLLM."""


class RepetitionDetection(JsonObject):
    """When an answer counts as repeating itself."""

    max_pattern_size: Int32 = 0
    min_pattern_size: Int32 = 0
    min_count: Int32 = 0


class Body(JsonObject):
    """A whole request. What a field does is said where it goes: in the contract's ``ChatRequest``."""

    refused = refused.PARAMETERS
    messages: list[Message]
    model: str = ""
    # OpenAI's options
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool = False
    top_logprobs: Int32 | None = None
    max_tokens: Int32 | None = None
    max_completion_tokens: Int32 | None = None
    metadata: dict[str, str] | None = None
    n: Int32 | None = None
    parallel_tool_calls: bool | None = None
    presence_penalty: float | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    prompt_cache_key: str | None = None
    """Which calls shall find each other's prefixes: all of a client's do, whatever is written here."""
    response_format: ResponseFormat | None = None
    safety_identifier: str | None = None
    seed: Int64 | None = None
    """64 bits as at OpenAI; the contract's own field is smaller because JSON of protobuf prints 64 bits as text."""
    stop: Annotated[Annotated[str, Tag(TEXT_TAG)] | Annotated[list[str], Tag(LIST_TAG)], _TEXT_OR_LIST] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    tool_choice: (
        Annotated[
            Annotated[Literal["none", "auto", "required"], Tag(TEXT_TAG)] | Annotated[ToolChoice, Tag(OBJECT_TAG)],
            _TEXT_OR_OBJECT,
        ]
        | None
    ) = None
    tools: list[Tool] | None = None
    top_p: float | None = None
    user: str | None = None
    # vLLM's options
    add_generation_prompt: bool | None = None
    """Says once more, from the other side, what ``continue_final_message`` says; it may not say anything else."""
    allowed_token_ids: list[Int32] | None = None
    bad_words: list[str] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    continue_final_message: bool | None = None
    ignore_eos: bool | None = None
    include_reasoning: bool | None = None
    include_stop_str_in_output: bool | None = None
    logprob_token_ids: list[Int32] | None = None
    min_p: float | None = None
    min_tokens: Int32 | None = None
    priority: Int32 | None = None
    prompt_logprobs: Int32 | None = None
    repetition_detection: RepetitionDetection | None = None
    repetition_penalty: float | None = None
    return_prompt_text: bool | None = None
    return_token_ids: bool | None = None
    skip_special_tokens: bool | None = None
    spaces_between_special_tokens: bool | None = None
    stop_token_ids: list[Int32] | None = None
    stream_interval: Int32 | None = None
    structured_outputs: StructuredOutputs | None = None
    thinking_token_budget: Int32 | None = None
    top_k: Int32 | None = None
    truncate_prompt_tokens: Int32 | None = None
    truncation_side: Literal["left", "right"] | None = None
    watermarking: bool | None = None
