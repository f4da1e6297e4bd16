"""An answer: whole, or event by event."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from google.protobuf import duration_pb2, timestamp_pb2

from palaver.v1 import (
    chat_service_pb2,
    choice_pb2,
    content_part_pb2,
    context_policy_pb2,
    generation_options_pb2,
    logprobs_pb2,
    message_pb2,
    role_pb2,
    timings_pb2,
    tool_call_pb2,
    usage_pb2,
)
from palaver_server.core.answer import WholeAnswer, WholeChoice
from palaver_server.core.context import ContextTruncation
from palaver_server.core.events import ChoiceEnd, Delta, Finished, FinishReason, Started, Timings, Usage
from palaver_server.core.logprobs import LogprobEntry, TokenLogprob
from palaver_server.core.model import ModelDescription
from palaver_server.core.tools import ToolCallState
from palaver_server.rpc.codec.options import options_to_proto
from palaver_server.rpc.codec.times import duration_to_proto, timestamp_now

_FINISH_REASONS = {
    FinishReason.STOP: choice_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: choice_pb2.FINISH_REASON_LENGTH,
    FinishReason.TIME_LIMIT: choice_pb2.FINISH_REASON_TIME_LIMIT,
    FinishReason.TOOL_CALLS: choice_pb2.FINISH_REASON_TOOL_CALLS,
    FinishReason.REPETITION: choice_pb2.FINISH_REASON_REPETITION,
}
_CALL_STATES = {
    None: tool_call_pb2.TOOL_CALL_STATE_UNSPECIFIED,
    ToolCallState.COMPLETE: tool_call_pb2.TOOL_CALL_STATE_COMPLETE,
    ToolCallState.CUT_OFF: tool_call_pb2.TOOL_CALL_STATE_CUT_OFF,
    ToolCallState.MALFORMED: tool_call_pb2.TOOL_CALL_STATE_MALFORMED,
    ToolCallState.UNKNOWN_TOOL: tool_call_pb2.TOOL_CALL_STATE_UNKNOWN_TOOL,
    ToolCallState.INVALID_ARGUMENTS: tool_call_pb2.TOOL_CALL_STATE_INVALID_ARGUMENTS,
}


class ChatEvents:
    """Writes the events of one stream.

    Args:
        answer_id: the answer's own name.
        model: the model that answers.
        seconds_before_engine: tells, at the end, the time from the request's arrival to the engine's taking it.
    """

    def __init__(self, *, answer_id: str, model: ModelDescription, seconds_before_engine: Callable[[], float]) -> None:
        self._answer_id = answer_id
        self._model = model
        self._seconds_before_engine = seconds_before_engine
        self._sequence_number = 0

    def start(self, started: Started) -> chat_service_pb2.StreamChatResponse:
        """The first event of a stream."""
        return chat_service_pb2.StreamChatResponse(
            started=chat_service_pb2.ChatStarted(
                id=self._answer_id,
                model=self._model.model_id,
                system_fingerprint=self._model.system_fingerprint,
                create_time=timestamp_now(),
                prompt_token_count=started.prompt_token_count,
                max_output_tokens=started.max_output_tokens,
                context_truncation=truncation_to_proto(started.truncation),
                effective_options=_effective_options_to_proto(started),
                prompt_text=started.prompt_text,
                prompt_token_ids=started.prompt_token_ids,
            )
        )

    def piece(self, delta: Delta) -> chat_service_pb2.StreamChatResponse:
        """A piece of a choice. This runs for each message of each stream: it does no more than it must."""
        response = chat_service_pb2.StreamChatResponse()
        piece = response.delta  # filled in its place, as a message that is given to another one is copied
        piece.sequence_number = self._sequence_number
        self._sequence_number += 1
        piece.text = delta.text
        if delta.choice_index:
            piece.choice_index = delta.choice_index
        if delta.reasoning:
            piece.reasoning = delta.reasoning
        if delta.tool_calls:
            piece.tool_calls.extend(
                tool_call_pb2.ToolCallDelta(
                    index=call.index,
                    id=call.id,
                    name=call.name,
                    arguments_json=call.arguments_json,
                    state=_CALL_STATES[call.state],
                    problem=call.problem,
                )
                for call in delta.tool_calls
            )
        if delta.logprobs:
            piece.logprobs.CopyFrom(_logprobs_to_proto(delta.logprobs))
        if delta.token_ids:
            piece.token_ids.extend(delta.token_ids)
        if delta.usage is not None:
            piece.usage.CopyFrom(_usage_to_proto(delta.usage))
        if delta.end is not None:
            piece.finish.CopyFrom(_finish_to_proto(delta.end))
        return response

    def finish(self, finished: Finished) -> chat_service_pb2.StreamChatResponse:
        """The last event of a stream."""
        return chat_service_pb2.StreamChatResponse(
            finished=chat_service_pb2.ChatFinished(
                choices=[_finish_to_proto(end) for end in finished.choices],
                usage=_usage_to_proto(finished.usage),
                timings=_timings_to_proto(finished.timings, self._seconds_before_engine()),
                prompt_logprobs=_logprobs_to_proto(finished.prompt_logprobs) if finished.prompt_logprobs else None,
            )
        )


def answer_to_proto(
    started: Started,
    whole: WholeAnswer,
    finished: Finished,
    *,
    answer_id: str,
    model: ModelDescription,
    create_time: timestamp_pb2.Timestamp,
    before_engine_seconds: float,
) -> chat_service_pb2.ChatResponse:
    """A whole answer.

    Args:
        started: the first event.
        whole: what the deltas made.
        finished: the last event.
        answer_id: the answer's own name.
        model: the model that answered.
        create_time: when the request was admitted.
        before_engine_seconds: from the request's arrival to the engine's taking it.
    """
    return chat_service_pb2.ChatResponse(
        id=answer_id,
        model=model.model_id,
        system_fingerprint=model.system_fingerprint,
        create_time=create_time,
        choices=[_choice_to_proto(whole[end.choice_index], end) for end in finished.choices],
        usage=_usage_to_proto(finished.usage),
        timings=_timings_to_proto(finished.timings, before_engine_seconds),
        max_output_tokens=started.max_output_tokens,
        context_truncation=truncation_to_proto(started.truncation),
        effective_options=_effective_options_to_proto(started),
        prompt_text=started.prompt_text,
        prompt_token_ids=started.prompt_token_ids,
        prompt_logprobs=_logprobs_to_proto(finished.prompt_logprobs) if finished.prompt_logprobs else None,
    )


def _choice_to_proto(choice: WholeChoice, end: ChoiceEnd) -> choice_pb2.Choice:
    text, calls = choice.text, choice.tool_calls
    return choice_pb2.Choice(
        index=end.choice_index,
        message=message_pb2.Message(
            role=role_pb2.ROLE_ASSISTANT,
            # A message that only calls tools has no content; any other has, were it empty.
            content=[content_part_pb2.ContentPart(text=text)] if text or not calls else [],
            reasoning=choice.reasoning,
            tool_calls=[
                tool_call_pb2.ToolCall(
                    id=call.id,
                    name=call.name,
                    arguments_json=call.arguments_json,
                    state=_CALL_STATES[call.state],
                    problem=call.problem,
                )
                for call in calls
            ],
        ),
        finish_reason=_FINISH_REASONS[end.finish_reason],
        logprobs=_logprobs_to_proto(choice.logprobs) if choice.logprobs else None,
        stop_match=_stop_match(end),
        token_ids=choice.token_ids,
    )


def _finish_to_proto(end: ChoiceEnd) -> choice_pb2.ChoiceFinish:
    return choice_pb2.ChoiceFinish(
        index=end.choice_index, finish_reason=_FINISH_REASONS[end.finish_reason], stop_match=_stop_match(end)
    )


def _stop_match(end: ChoiceEnd) -> choice_pb2.StopMatch | None:
    if end.stop_sequence is not None:
        return choice_pb2.StopMatch(stop_sequence=end.stop_sequence)
    if end.stop_token_id is not None:
        return choice_pb2.StopMatch(stop_token_id=end.stop_token_id)
    return None


def truncation_to_proto(truncation: ContextTruncation | None) -> context_policy_pb2.ContextTruncation | None:
    """What was left out of a conversation; None where nothing was."""
    if truncation is None:
        return None
    return context_policy_pb2.ContextTruncation(
        dropped_message_count=len(truncation.dropped_messages),
        dropped_token_count=truncation.dropped_token_count,
        dropped_message_indices=truncation.dropped_messages,
    )


def _effective_options_to_proto(started: Started) -> generation_options_pb2.GenerationOptions | None:
    return None if started.effective_options is None else options_to_proto(started.effective_options)


def _usage_to_proto(usage: Usage) -> usage_pb2.Usage:
    return usage_pb2.Usage(
        prompt_token_count=usage.prompt_token_count,
        output_token_count=usage.output_token_count,
        reasoning_token_count=usage.reasoning_token_count,
        cached_prompt_token_count=usage.cached_prompt_token_count,
        total_token_count=usage.prompt_token_count + usage.output_token_count,
    )


def _timings_to_proto(timings: Timings, before_engine_seconds: float) -> timings_pb2.Timings:
    """The engine's times, which begin where it takes the request, from the request's arrival on."""

    def since_arrival(seconds: float | None) -> duration_pb2.Duration | None:
        return None if seconds is None else duration_to_proto(before_engine_seconds + seconds)

    generation = None
    if timings.total_seconds is not None and timings.first_token_seconds is not None:
        generation = timings.total_seconds - timings.first_token_seconds
    return timings_pb2.Timings(
        queue_duration=since_arrival(timings.queue_seconds),
        time_to_first_token=since_arrival(timings.first_token_seconds),
        generation_duration=duration_to_proto(generation),
        total_duration=since_arrival(timings.total_seconds),
    )


def _logprobs_to_proto(tokens: Iterable[TokenLogprob]) -> logprobs_pb2.Logprobs:
    return logprobs_pb2.Logprobs(
        tokens=[
            logprobs_pb2.TokenLogprob(
                chosen=_entry_to_proto(token.chosen),
                alternatives=[_entry_to_proto(other) for other in token.alternatives],
            )
            for token in tokens
        ]
    )


def _entry_to_proto(entry: LogprobEntry) -> logprobs_pb2.LogprobEntry:
    return logprobs_pb2.LogprobEntry(
        token=entry.token, raw_bytes=entry.raw_bytes, token_id=entry.token_id, logprob=entry.logprob, rank=entry.rank
    )
