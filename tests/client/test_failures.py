"""What a server says with a status arrives as the right error, by both clients, in one piece and streamed."""

from __future__ import annotations

import asyncio
import socket

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from palaver_client import errors
from palaver_client.errors import FieldViolation

Code = grpc.StatusCode
CLASSES = {
    Code.INVALID_ARGUMENT: errors.InvalidRequest,
    Code.OUT_OF_RANGE: errors.InvalidRequest,
    Code.FAILED_PRECONDITION: errors.InvalidRequest,
    Code.NOT_FOUND: errors.NotFound,
    Code.UNIMPLEMENTED: errors.Unimplemented,
    Code.UNAUTHENTICATED: errors.Unauthenticated,
    Code.PERMISSION_DENIED: errors.PermissionDenied,
    Code.RESOURCE_EXHAUSTED: errors.Overloaded,
    Code.UNAVAILABLE: errors.Unavailable,
    Code.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    Code.CANCELLED: errors.Cancelled,
    Code.INTERNAL: errors.InternalError,
    Code.UNKNOWN: errors.InternalError,
    Code.DATA_LOSS: errors.InternalError,
    Code.ABORTED: errors.PalaverClientError,
    Code.ALREADY_EXISTS: errors.PalaverClientError,
}


async def failure_of(call) -> errors.PalaverClientError:
    with pytest.raises(errors.PalaverClientError) as caught:
        await call
    return caught.value


@pytest.fixture
def once(new_caller, fake):
    """A caller that never tries again."""
    return new_caller(fake.address, retry=None)


def test_every_code_has_its_class():
    assert set(CLASSES) == set(Code) - {Code.OK}


@pytest.mark.parametrize("code", CLASSES, ids=lambda code: code.name)
async def test_a_described_failure_arrives_whole(once, fake, failure, code):
    described = failure(
        code, "a sentence", reason="SOME_REASON", retry_after=1.25, fields=("options.seed",), metadata={"limit": "5"}
    )
    fake.will(described, described)
    for call in (once.chat("x"), once.read(once.client.stream("x"))):
        error = await failure_of(call)
        assert type(error) is CLASSES[code]
        assert (error.code, error.message, error.reason) == (code, "a sentence", "SOME_REASON")
        assert error.retry_after == 1.25
        assert error.fields == (FieldViolation("options.seed", "options.seed is wrong"),)
        assert error.metadata == {"limit": "5"}


@pytest.mark.parametrize("code", CLASSES, ids=lambda code: code.name)
async def test_a_bare_failure_arrives_with_what_there_is(once, fake, failure, code):
    fake.will(failure(code, "bare words", trailers=(("via", "a proxy"),)))
    error = await failure_of(once.chat("x"))
    assert type(error) is CLASSES[code]
    assert (error.message, error.reason, error.retry_after, error.fields) == ("bare words", None, None, ())


async def test_the_servers_name_of_the_request_wins_over_ours(once, fake, failure):
    fake.will(failure(Code.INTERNAL, reason="INTERNAL", metadata={"request_id": "from-details"}))
    fake.will(failure(Code.INTERNAL, trailers=(("x-request-id", "from-trailers"),)))
    fake.will(failure(Code.INTERNAL))
    given = [(await failure_of(once.chat("x", request_id="mine"))).request_id for _ in range(3)]
    assert given == ["from-details", "from-trailers", "mine"]


async def test_details_that_belong_to_another_status_are_left_out(once, fake, failure):
    other = status_pb2.Status(code=Code.NOT_FOUND.value[0], message="other")
    for details in (other.SerializeToString(), b"\xff\xff\xff"):
        fake.will(failure(Code.INTERNAL, "said by a proxy", trailers=(("grpc-status-details-bin", details),)))
        error = await failure_of(once.chat("x"))
        assert type(error) is errors.InternalError
        assert (error.message, error.reason) == ("said by a proxy", None)


async def test_a_detail_that_cannot_be_read_is_left_out(once, fake, failure):
    status = status_pb2.Status(code=Code.INTERNAL.value[0], message="m")
    status.details.add(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff")
    status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay={"seconds": 2}))
    fake.will(failure(Code.INTERNAL, "m", trailers=(("grpc-status-details-bin", status.SerializeToString()),)))
    error = await failure_of(once.chat("x"))
    assert (error.reason, error.retry_after) == (None, 2)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("0", 0.0), ("soon", None), ("-3", None), ("1.5", None)])
async def test_a_proxys_retry_after_is_understood(once, fake, failure, header, seconds):
    fake.will(failure(Code.RESOURCE_EXHAUSTED, trailers=(("retry-after", header),)))
    assert (await failure_of(once.chat("x"))).retry_after == seconds


async def test_a_server_that_is_not_there_is_said_to_be_not_there(new_caller):
    with socket.socket() as taken:  # bound and not listening: nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        caller = new_caller(address, retry=None)
        for call in (caller.chat("x"), caller.read(caller.client.stream("x")), caller.call("list_models")):
            error = await failure_of(call)
            assert type(error) is errors.ConnectionFailed
            assert error.code is Code.UNAVAILABLE
            assert f"No answer from {address}: " in error.message
            assert "Connection refused" in error.message
            assert "palaver serve" in error.message


async def test_a_name_that_does_not_resolve_is_a_connection_that_failed(new_caller):
    error = await failure_of(new_caller("no-such-host.invalid:1", retry=None).chat("x"))
    assert type(error) is errors.ConnectionFailed


async def test_a_plaintext_server_asked_for_tls_is_a_connection_that_failed(new_caller, fake):
    error = await failure_of(new_caller(fake.address, tls=True, retry=None).chat("x"))
    assert type(error) is errors.ConnectionFailed
    assert "both ends use TLS or neither does" in error.message


async def test_the_timeout_is_named_when_it_is_over(once, fake, act):
    fake.will(act(hangs=True), act(hangs=True))
    for call in (once.chat("x", timeout=0.2), once.read(once.client.stream("x", timeout=0.2))):
        error = await failure_of(call)
        assert type(error) is errors.DeadlineExceeded
        assert "timeout of 0.2 s" in error.message


async def test_too_large_a_request_is_refused_here_and_not_tried_again(new_caller, fake):
    caller = new_caller(fake.address, max_request_bytes=1000)
    error = await failure_of(caller.chat("x" * 2000))
    assert type(error) is errors.InvalidRequest
    assert "too large" in error.message
    assert fake.calls == []


async def test_too_large_an_answer_is_not_asked_for_again(new_caller, fake, act):
    caller = new_caller(fake.address, max_answer_bytes=1000)
    fake.will(act(words=("x" * 2000,)))
    error = await failure_of(caller.chat("x"))
    assert type(error) is errors.InvalidRequest
    assert len(fake.calls) == 1


async def test_a_long_answer_passes_where_grpc_alone_would_refuse_it(caller, fake, act):
    fake.will(act(words=("x" * 5_000_000,)))
    assert len((await caller.chat("x")).text) == 5_000_000


async def test_an_answer_without_a_choice_is_the_servers_fault(once, fake, act):
    fake.will(act(words=("a",), finishes=False))
    assert type(await failure_of(once.chat("x"))) is errors.InternalError


async def test_a_stream_that_ends_early_without_a_failure_is_the_servers_fault(once, fake, act):
    fake.will(act(words=("a", "b"), finishes=False), act(starts=False, finishes=False))
    stream = once.client.stream("x")
    error = await failure_of(once.read(stream))
    assert type(error) is errors.InternalError
    assert stream.text == "a b"
    assert type(await failure_of(once.read(once.client.stream("x")))) is errors.InternalError


async def test_a_failure_reaches_no_log_with_the_prompt(once, fake, failure, capfd, caplog):
    fake.will(failure(Code.INTERNAL))
    error = await failure_of(once.chat("a very private prompt"))
    await asyncio.sleep(0)
    seen = capfd.readouterr()
    assert "private" not in repr(error) + str(error) + seen.out + seen.err + caplog.text
