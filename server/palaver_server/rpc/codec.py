"""Between the contract's messages and the domain's objects. Nothing here decides anything."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, get_args

from google.protobuf import duration_pb2, timestamp_pb2

from palaver.v1 import (
    chat_service_pb2,
    choice_pb2,
    content_part_pb2,
    generation_options_pb2,
    message_pb2,
    model_pb2,
    role_pb2,
    timings_pb2,
    usage_pb2,
)
from palaver_server.core.conversation import Message, Role, TextPart
from palaver_server.core.events import ChoiceEnd, Delta, Finished, FinishReason, Started, Timings, Usage
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.loading import Loading
from palaver_server.core.model import LoadPhase, ModelDescription, SamplingDefaults
from palaver_server.core.options import GenerationOptions

_ROLES = {
    role_pb2.ROLE_SYSTEM: Role.SYSTEM,
    role_pb2.ROLE_USER: Role.USER,
    role_pb2.ROLE_ASSISTANT: Role.ASSISTANT,
    role_pb2.ROLE_TOOL: Role.TOOL,
}
_FINISH_REASONS = {
    FinishReason.STOP: choice_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: choice_pb2.FINISH_REASON_LENGTH,
    FinishReason.TIME_LIMIT: choice_pb2.FINISH_REASON_TIME_LIMIT,
    FinishReason.TOOL_CALLS: choice_pb2.FINISH_REASON_TOOL_CALLS,
    FinishReason.REPETITION: choice_pb2.FINISH_REASON_REPETITION,
}
_LOAD_PHASES = {
    LoadPhase.FETCHING: model_pb2.LOAD_PHASE_FETCHING,
    LoadPhase.VERIFYING: model_pb2.LOAD_PHASE_VERIFYING,
    LoadPhase.STARTING_ENGINE: model_pb2.LOAD_PHASE_STARTING_ENGINE,
    LoadPhase.LOADING_WEIGHTS: model_pb2.LOAD_PHASE_LOADING_WEIGHTS,
    LoadPhase.PREPARING_ENGINE: model_pb2.LOAD_PHASE_PREPARING_ENGINE,
    LoadPhase.WARMING_UP: model_pb2.LOAD_PHASE_WARMING_UP,
}
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
]
_KNOBS: tuple[_Knob, ...] = get_args(_Knob)


def request_from_proto(
    chat: chat_service_pb2.ChatRequest,
    *,
    request_id: str,
    is_streamed: bool,
    field_prefix: str,
    deadline: float | None,
) -> GenerationRequest:
    """The request of the domain. The message has passed the contract's rules."""
    return GenerationRequest(
        request_id=request_id,
        model=chat.model.removeprefix("models/"),
        messages=tuple(_message_from_proto(message) for message in chat.messages),
        options=_options_from_proto(chat.options),
        is_streamed=is_streamed,
        field_prefix=field_prefix,
        deadline=deadline,
    )


def started_to_proto(
    started: Started, *, answer_id: str, model: str, create_time: timestamp_pb2.Timestamp
) -> chat_service_pb2.StreamChatResponse:
    """The first event of a stream."""
    return chat_service_pb2.StreamChatResponse(
        started=chat_service_pb2.ChatStarted(
            id=answer_id,
            model=model,
            create_time=create_time,
            prompt_token_count=started.prompt_token_count,
            max_output_tokens=started.max_output_tokens,
        )
    )


def delta_to_proto(delta: Delta, sequence_number: int) -> chat_service_pb2.StreamChatResponse:
    """A piece of a choice. This runs for each message of each stream: it does no more than it must."""
    return chat_service_pb2.StreamChatResponse(
        delta=chat_service_pb2.ChatDelta(
            choice_index=delta.choice_index, sequence_number=sequence_number, text=delta.text
        )
    )


def finished_to_proto(finished: Finished) -> chat_service_pb2.StreamChatResponse:
    """The last event of a stream."""
    return chat_service_pb2.StreamChatResponse(
        finished=chat_service_pb2.ChatFinished(
            choices=[
                choice_pb2.ChoiceFinish(
                    index=end.choice_index,
                    finish_reason=_FINISH_REASONS[end.finish_reason],
                    stop_match=_stop_match(end),
                )
                for end in finished.choices
            ],
            usage=_usage_to_proto(finished.usage),
            timings=_timings_to_proto(finished.timings),
        )
    )


def answer_to_proto(
    started: Started,
    texts: dict[int, str],
    finished: Finished,
    *,
    answer_id: str,
    model: str,
    create_time: timestamp_pb2.Timestamp,
) -> chat_service_pb2.ChatResponse:
    """A whole answer.

    Args:
        started: the first event.
        texts: the text of each choice by its index; a choice without text may be missing.
        finished: the last event.
        answer_id: the answer's own name.
        model: the id of the model that answered.
        create_time: when the request was admitted.
    """
    return chat_service_pb2.ChatResponse(
        id=answer_id,
        model=model,
        create_time=create_time,
        choices=[
            choice_pb2.Choice(
                index=end.choice_index,
                message=message_pb2.Message(
                    role=role_pb2.ROLE_ASSISTANT,
                    content=[content_part_pb2.ContentPart(text=texts.get(end.choice_index, ""))],
                ),
                finish_reason=_FINISH_REASONS[end.finish_reason],
                stop_match=_stop_match(end),
            )
            for end in finished.choices
        ],
        usage=_usage_to_proto(finished.usage),
        timings=_timings_to_proto(finished.timings),
        max_output_tokens=started.max_output_tokens,
    )


def model_to_proto(
    model: ModelDescription, loading: Loading, *, is_draining: bool, has_failed: bool
) -> model_pb2.Model:
    """The model as a resource, with how far its load has come."""
    described = model_pb2.Model(
        name=f"models/{model.model_id}",
        id=model.model_id,
        is_default=True,
        context_length=model.context_length or 0,
        max_output_tokens=model.context_length or 0,
    )
    progress = loading.progress
    if has_failed or progress.phase is LoadPhase.FAILED:
        described.state = model_pb2.MODEL_STATE_FAILED
    elif is_draining:
        described.state = model_pb2.MODEL_STATE_DRAINING
    elif progress.phase is LoadPhase.READY:
        described.state = model_pb2.MODEL_STATE_READY
    else:
        described.state = model_pb2.MODEL_STATE_LOADING
        described.load_progress.CopyFrom(_load_progress_to_proto(loading))
    if progress.phase is LoadPhase.READY:
        described.default_options.CopyFrom(_defaults_to_proto(model.defaults))
        described.capabilities.SetInParent()
    return described


def timestamp_now() -> timestamp_pb2.Timestamp:
    """The time of day, in UTC."""
    now = timestamp_pb2.Timestamp()
    now.FromDatetime(datetime.now(UTC))
    return now


def _message_from_proto(message: message_pb2.Message) -> Message:
    return Message(_ROLES[message.role], tuple(TextPart(part.text) for part in message.content))


def _options_from_proto(options: generation_options_pb2.GenerationOptions) -> GenerationOptions:
    knobs = {knob: getattr(options, knob) for knob in _KNOBS if options.HasField(knob)}
    return GenerationOptions(
        **knobs,
        stop_sequences=tuple(options.stop_sequences),
        stops_before_deadline=options.stop_before_deadline,
        time_limit_seconds=options.time_limit.ToTimedelta().total_seconds() if options.HasField("time_limit") else None,
    )


def _stop_match(end: ChoiceEnd) -> choice_pb2.StopMatch | None:
    return None if end.stop_sequence is None else choice_pb2.StopMatch(stop_sequence=end.stop_sequence)


def _usage_to_proto(usage: Usage) -> usage_pb2.Usage:
    return usage_pb2.Usage(
        prompt_token_count=usage.prompt_token_count,
        output_token_count=usage.output_token_count,
        cached_prompt_token_count=usage.cached_prompt_token_count,
        total_token_count=usage.prompt_token_count + usage.output_token_count,
    )


def _timings_to_proto(timings: Timings) -> timings_pb2.Timings:
    generation = None
    if timings.total_seconds is not None and timings.first_token_seconds is not None:
        generation = timings.total_seconds - timings.first_token_seconds
    return timings_pb2.Timings(
        queue_duration=_duration(timings.queue_seconds),
        time_to_first_token=_duration(timings.first_token_seconds),
        generation_duration=_duration(generation),
        total_duration=_duration(timings.total_seconds),
    )


def _duration(seconds: float | None) -> duration_pb2.Duration | None:
    if seconds is None:
        return None
    duration = duration_pb2.Duration()
    duration.FromMicroseconds(round(max(seconds, 0.0) * 1e6))
    return duration


def _load_progress_to_proto(loading: Loading) -> model_pb2.LoadProgress:
    return model_pb2.LoadProgress(
        phase=_LOAD_PHASES.get(loading.progress.phase, model_pb2.LOAD_PHASE_UNSPECIFIED),
        fraction=loading.progress.fraction,
        elapsed=_duration(loading.elapsed_seconds),
    )


def _defaults_to_proto(defaults: SamplingDefaults) -> generation_options_pb2.GenerationOptions:
    return generation_options_pb2.GenerationOptions(
        temperature=defaults.temperature,
        top_p=defaults.top_p,
        top_k=defaults.top_k,
        min_p=defaults.min_p,
        repetition_penalty=defaults.repetition_penalty,
        max_output_tokens=defaults.max_output_tokens,
    )
