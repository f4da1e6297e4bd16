"""Tells telemetry what a call has come to, once, at its end."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial

import grpc

from palaver_server.core.conversation import Message
from palaver_server.core.errors import Reason
from palaver_server.core.events import Delta, Timings, Usage
from palaver_server.core.options import GenerationOptions
from palaver_server.rpc.call import Call
from palaver_server.telemetry.call_record import UNKNOWN, AnswerRecord, CallRecord

_NOTHING = Usage(0, 0)
_OPTIONS = tuple(field.name for field in fields(GenerationOptions))


def record_of(
    call: Call, code: grpc.StatusCode, reason: Reason | None, metadata: Mapping[str, str | bytes]
) -> CallRecord:
    """Everything that telemetry may know of a call. Nothing in it was said in the conversation."""
    service, _, method = call.method[1:].rpartition("/") if call.is_known else (UNKNOWN, "", UNKNOWN)
    duration = time.monotonic() - call.began
    return CallRecord(
        service=service,
        method=method,
        code=code.name,
        code_number=code.value[0],
        reason=None if reason is None else reason.value,
        request_id=call.request_id,
        client=call.client.id,
        tier=call.client.tier,
        key_id=call.client.key_id,
        peer=call.peer,
        is_transcoded=call.is_transcoded,
        began=time.time() - duration,
        duration_seconds=duration,
        metadata=metadata,
        user_id=call.user_id,
        labels=call.labels,
        answer=_answer(call),
        prompt=None if call.generation is None else partial(_prompt, call.generation.messages),
        said=None if call.generation is None or call.pieces is None else partial(_said, call.pieces),
    )


def _answer(call: Call) -> AnswerRecord | None:
    if (generation := call.generation) is None:
        return None
    finished, milestones = call.finished, generation.milestones
    usage = _NOTHING if finished is None else finished.usage
    timings = Timings() if finished is None else finished.timings

    def since_beginning(moment: float | None) -> float | None:
        return None if moment is None else moment - call.began

    return AnswerRecord(
        model=call.model,
        answer_id=call.answer_id,
        is_streamed=generation.is_streamed,
        options=partial(_given, generation.options),
        prompt_tokens=usage.prompt_token_count or (0 if call.started is None else call.started.prompt_token_count),
        cached_prompt_tokens=usage.cached_prompt_token_count,
        output_tokens=usage.output_token_count or max(call.streamed_token_count, milestones.given_up_token_count),
        reasoning_tokens=usage.reasoning_token_count,
        finish_reasons=() if finished is None else tuple(end.finish_reason.value for end in finished.choices),
        admitted_seconds=since_beginning(milestones.admitted),
        prepared_seconds=since_beginning(milestones.prepared),
        first_delta_seconds=since_beginning(call.first_delta),
        delta_count=call.delta_count,
        unread_seconds=milestones.unread_seconds,
        engine_queue_seconds=timings.queue_seconds,
        engine_first_token_seconds=timings.first_token_seconds,
        engine_total_seconds=timings.total_seconds,
    )


def _given(options: GenerationOptions) -> dict[str, object]:
    return {name: value for name in _OPTIONS if (value := getattr(options, name)) not in (None, (), {})}


def _prompt(messages: Sequence[Message]) -> bytes:
    texts = [[message.role.value, "".join(part.text for part in message.content)] for message in messages]
    return json.dumps(texts, ensure_ascii=False, separators=(",", ":")).encode()


def _said(pieces: Sequence[Delta]) -> bytes:
    choices: dict[int, list[str]] = {}
    for piece in pieces:
        choices.setdefault(piece.choice_index, []).append(piece.text)
    texts = ["".join(choices[index]) for index in sorted(choices)]
    return json.dumps(texts, ensure_ascii=False, separators=(",", ":")).encode()
