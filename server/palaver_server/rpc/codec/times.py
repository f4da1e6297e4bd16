"""Moments and lengths of time."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf import duration_pb2, timestamp_pb2

from palaver_server.core.errors import invalid_field

_NANOS_A_SECOND = 1_000_000_000


def timestamp_now() -> timestamp_pb2.Timestamp:
    """The time of day, in UTC."""
    now = timestamp_pb2.Timestamp()
    now.FromDatetime(datetime.now(UTC))
    return now


def duration_to_proto(seconds: float | None) -> duration_pb2.Duration | None:
    """A length of time; None stays unset."""
    if seconds is None:
        return None
    duration = duration_pb2.Duration()
    duration.FromMicroseconds(round(max(seconds, 0.0) * 1e6))
    return duration


def seconds_from_proto(duration: duration_pb2.Duration, field: str) -> float:
    """A length of time above 0, in seconds.

    Raises:
        PalaverError: ``INVALID_FIELD``: its nanoseconds are none of a second's, as ``duration.proto`` has them.
    """
    if not 0 <= duration.nanos < _NANOS_A_SECOND:
        raise invalid_field(field, "its nanos must be from 0 to 999,999,999")
    return duration.ToTimedelta().total_seconds()
