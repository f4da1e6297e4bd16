"""Moments and lengths of time."""

from __future__ import annotations

import time

from google.protobuf import duration_pb2, timestamp_pb2

from palaver_server.core.errors import invalid_field

_NANOS_A_SECOND = 1_000_000_000
_NANOS_A_MICROSECOND = 1000
_MICROS_A_SECOND = 1_000_000


def timestamp_now() -> timestamp_pb2.Timestamp:
    """The time of day, in UTC, in microseconds."""
    seconds, nanos = divmod(time.time_ns(), _NANOS_A_SECOND)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos - nanos % _NANOS_A_MICROSECOND)


def duration_to_proto(seconds: float | None) -> duration_pb2.Duration | None:
    """A length of time; None stays unset."""
    if seconds is None:
        return None
    whole, micros = divmod(round(max(seconds, 0.0) * _MICROS_A_SECOND), _MICROS_A_SECOND)
    return duration_pb2.Duration(seconds=whole, nanos=micros * _NANOS_A_MICROSECOND)


def seconds_from_proto(duration: duration_pb2.Duration, field: str) -> float:
    """A length of time above 0, in seconds.

    Raises:
        PalaverError: ``INVALID_FIELD``: its nanoseconds are none of a second's, as ``duration.proto`` has them.
    """
    if not 0 <= duration.nanos < _NANOS_A_SECOND:
        raise invalid_field(field, "its nanos must be from 0 to 999,999,999")
    return duration.ToTimedelta().total_seconds()
