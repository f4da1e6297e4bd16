"""Reads the reason out of a call's trailers."""

from __future__ import annotations

from typing import Any

from google.rpc import error_details_pb2, status_pb2


def reason_of(trailers: Any) -> str:
    """The reason in the ``ErrorInfo`` of a call's status."""
    status = status_pb2.Status.FromString(dict(trailers)["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason
