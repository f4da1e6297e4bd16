"""The access log: a line a call, written when the call has ended.

Of what a caller chooses there is the request id in it (bounded, of harmless characters: it is there to be found), and,
where the operator asks for them, the caller's names for its user and its labels.
"""

from __future__ import annotations

import logging

from palaver_server.telemetry.call_record import UNKNOWN, CallRecord
from palaver_server.telemetry.lines import Lines

QUIET_SERVICES = ("grpc.health.", "grpc.reflection.", "xds.service.orca.")
"""Probes come every few seconds, and load balancers: their lines are written at debug level."""


class AccessLog:
    """Implements ``telemetry.call_record.CallObserver``.

    Args:
        has_user_ids: whether a call's ``user_id`` and ``labels`` are written.
    """

    def __init__(self, *, has_user_ids: bool) -> None:
        self._lines = Lines("palaver.access")
        self._has_user_ids = has_user_ids

    def call_ended(self, record: CallRecord) -> None:
        """Write the line of a call."""
        level = logging.DEBUG if record.service.startswith(QUIET_SERVICES) else logging.INFO
        if self._lines.are_written(level):
            self._lines.write(level, self._fields(record))

    def _fields(self, record: CallRecord) -> dict[str, object]:
        fields: dict[str, object] = {
            "method": UNKNOWN if record.service == UNKNOWN else f"/{record.service}/{record.method}",
            "code": record.code,
            "client": record.client,
            "peer": record.peer,
            "duration_ms": _ms(record.duration_seconds),
        }
        if record.reason is not None:
            fields["reason"] = record.reason
        if record.trace_id is not None:
            fields["trace_id"] = record.trace_id
        if self._has_user_ids and record.user_id:
            fields["user_id"] = record.user_id
        if self._has_user_ids and record.labels:
            fields["labels"] = dict(record.labels)
        if (answer := record.answer) is not None:
            if answer.answer_id:
                fields["answer_id"] = answer.answer_id
            if answer.first_delta_seconds is not None:
                fields["first_delta_ms"] = _ms(answer.first_delta_seconds)
            if answer.prompt_tokens:  # the engine has taken the prompt
                fields |= {
                    "prompt_tokens": answer.prompt_tokens,
                    "output_tokens": answer.output_tokens,
                    "reasoning_tokens": answer.reasoning_tokens,
                    "cached_tokens": answer.cached_prompt_tokens,
                }
            if answer.finish_reasons:
                fields["finish_reason"] = ",".join(answer.finish_reasons)
        fields["event"] = "call"
        fields["request_id"] = record.request_id
        return fields


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
