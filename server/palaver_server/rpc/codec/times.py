"""Moments and lengths of time."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf import duration_pb2, timestamp_pb2


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
