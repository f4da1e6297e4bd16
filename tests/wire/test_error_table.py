from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2

from palaver_server.core.errors import FieldViolation, PalaverError, Reason, invalid_field
from palaver_server.rpc.errors import MAX_STATUS_BYTES, TABLE, status_from_error
from palaver_server.rpc.openai.errors import error_json

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


@pytest.mark.parametrize("character", ["x", "\u00e9", "\U0001f600"])
def test_an_error_about_much_is_told_in_bounds(character):
    long = character * 9000
    error = PalaverError(Reason.INVALID_FIELD, long, violations=[FieldViolation(long, long)] * 3000)
    status = status_from_error(error, "id-1")
    info, blamed = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(blamed)
    assert status.ByteSize() <= MAX_STATUS_BYTES
    assert status.message == error.message
    assert info.reason == "INVALID_FIELD"
    told = len(blamed.field_violations)
    assert 1 <= told <= 16
    assert info.metadata["violations_left_out"] == str(3000 - told)
    assert all(len(violation.field) == 256 for violation in blamed.field_violations)
    assert len(error_json(error)) <= 4096


def test_sixteen_short_violations_are_all_told():
    violations = [FieldViolation(f"messages[{n}].name", "must be at most 64 characters") for n in range(17)]
    status = status_from_error(PalaverError(Reason.INVALID_FIELD, "wrong", violations=violations), "id-1")
    info, blamed = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(blamed)
    assert [violation.field for violation in blamed.field_violations] == [f"messages[{n}].name" for n in range(16)]
    assert info.metadata["violations_left_out"] == "1"
