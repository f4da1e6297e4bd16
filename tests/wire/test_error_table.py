from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2

from palaver_server.core.errors import PalaverError, Reason, invalid_field
from palaver_server.rpc.errors import TABLE, status_from_error

# What HTTP gateways make of a gRPC code: google/rpc/code.proto says it beside each.
HTTP = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.CANCELLED: 499,
}


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_statuses(reason):
    statuses = TABLE[reason]
    assert statuses.http_status == HTTP[statuses.code]
    assert statuses.openai_type
    assert reason.value == reason.name


def test_a_status_carries_reason_field_and_time_to_wait():
    error = PalaverError(Reason.SERVER_OVERLOADED, "Full.", retry_after_seconds=1.25)
    status = status_from_error(error, "id-1")
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (info.reason, info.domain, info.metadata["request_id"]) == ("SERVER_OVERLOADED", "palaver.v1", "id-1")
    assert retry.retry_delay.ToMilliseconds() == 1250


def test_a_field_is_named_by_its_path():
    status = status_from_error(invalid_field("chat.options.top_p", "must be at most 1"), "id-1")
    blamed = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(blamed)
    assert blamed.field_violations[0].field == "chat.options.top_p"
    assert status.message == "chat.options.top_p: must be at most 1"
