"""What callers over HTTP need and callers over gRPC do not: Envoy's mark in the metadata tells them apart."""

from __future__ import annotations

import asyncio
import json

import grpc
import pytest
from google.rpc import error_details_pb2

from palaver.v1 import chat_service_pb2, role_pb2, web_service_pb2, web_service_pb2_grpc
from palaver_server.core.errors import PalaverError, Reason

TRANSCODED = (("x-envoy-original-path", "/palaver/v1/chat:stream"),)


def asking(text: str = "one two three four five") -> chat_service_pb2.StreamChatRequest:
    request = chat_service_pb2.StreamChatRequest()
    request.chat.messages.add(role=role_pb2.ROLE_USER).content.add(text=text)
    return request


async def read(call) -> tuple[list[chat_service_pb2.StreamChatResponse], grpc.StatusCode]:
    events = []
    try:
        async for event in call:
            events.append(event)  # noqa: PERF401  # what came before the error counts
    except grpc.aio.AioRpcError as error:
        return events, error.code()
    return events, grpc.StatusCode.OK


def info_of(status) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info


async def test_a_stream_that_fails_tells_it_in_its_last_event(serve):
    serving = await serve(scripted_fail_after=2)
    events, code = await read(serving.chat.StreamChat(asking(), metadata=(*TRANSCODED, ("x-request-id", "id-7"))))
    assert [event.WhichOneof("event") for event in events] == ["started", "delta", "delta", "error"]
    assert code is grpc.StatusCode.INTERNAL
    assert events[-1].error.code == code.value[0]
    info = info_of(events[-1].error)
    assert (info.reason, info.metadata["request_id"]) == ("GENERATION_FAILED", "id-7")


async def test_a_caller_over_grpc_gets_the_status_alone(serve):
    serving = await serve(scripted_fail_after=2)
    events, code = await read(serving.chat.StreamChat(asking()))
    assert [event.WhichOneof("event") for event in events] == ["started", "delta", "delta"]
    assert code is grpc.StatusCode.INTERNAL


async def test_empty_events_fill_a_silence_for_callers_over_http_alone(serve):
    serving = await serve(scripted_first=1.0, event_stream_keepalive=0.1)
    events, code = await read(serving.chat.StreamChat(asking(), metadata=TRANSCODED))
    kinds = [event.WhichOneof("event") for event in events]
    assert code is grpc.StatusCode.OK
    assert kinds.count(None) >= 3
    assert [kind for kind in kinds if kind] == ["started", *["delta"] * 5, "finished"]
    events, _ = await read(serving.chat.StreamChat(asking()))
    assert None not in [event.WhichOneof("event") for event in events]


async def test_a_refusal_after_a_wait_in_the_queue_is_an_event(serve):
    server = await serve(max_concurrent_requests=1, scripted_interval=3600, event_stream_keepalive=0.1, grace=0.0)
    holding = server.chat.StreamChat(asking())
    await holding.read()
    waiting = aiter(server.chat.StreamChat(asking("too long " * 9000), metadata=TRANSCODED))
    assert await anext(waiting) == chat_service_pb2.StreamChatResponse()
    holding.cancel()
    events, code = await read(waiting)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert [event.WhichOneof("event") for event in events if event.ByteSize()] == ["error"]
    assert info_of(events[-1].error).reason == "PROMPT_TOO_LONG"


async def test_a_failure_before_the_first_event_is_a_status_alone(serve):
    serving = await serve()
    request = asking()
    request.chat.options.temperature = 3
    events, code = await read(serving.chat.StreamChat(request, metadata=TRANSCODED))
    assert events == []
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_stream_that_the_deadline_ends_says_so(serve):
    serving = await serve(scripted_interval=0.05, scripted_tokens=10_000)
    events, code = await read(serving.chat.StreamChat(asking(), metadata=TRANSCODED, timeout=2))
    assert events[0].WhichOneof("event") == "started"
    assert info_of(events[-1].error).reason == "DEADLINE_EXCEEDED"
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("interval", [0.05, 0.0])
async def test_streams_that_end_with_their_server_say_so_wherever_they_are(serve, interval):
    """Without an interval, most of them are in the middle of a write."""
    serving = await serve(scripted_interval=interval, scripted_tokens=10_000_000)
    calls = [serving.chat.StreamChat(asking(), metadata=TRANSCODED) for _ in range(24)]
    reading = [asyncio.ensure_future(read(call)) for call in calls]
    for call in calls:
        await call.initial_metadata()  # goes with the first event
    assert await serving.stop() == 0
    for events, code in await asyncio.gather(*reading):
        assert code is grpc.StatusCode.UNAVAILABLE
        assert info_of(events[-1].error).reason == "SERVER_DRAINING"


@pytest.mark.parametrize("metadata", [(), TRANSCODED], ids=["grpc", "transcoded"])
async def test_a_stream_that_ends_in_its_first_write_keeps_its_reason(serve, metadata):
    """Again and again everything is ended that has begun since: in the queue, in the engine, in the first write."""
    serving = await serve(scripted_interval=0.001, scripted_tokens=10_000)
    calls = [serving.chat.StreamChat(asking(), metadata=metadata) for _ in range(100)]
    reading = asyncio.gather(*map(read, calls))
    while not reading.done():
        serving.app._chat._running.end(lambda: PalaverError(Reason.SERVER_DRAINING, "The server is shutting down."))
        await asyncio.sleep(0.0002)
    assert {code for _, code in reading.result()} == {grpc.StatusCode.UNAVAILABLE}
    assert max(len(events) for events, _ in reading.result()) >= 1


@pytest.fixture
def web(serve):
    async def start(**flags):
        serving = await serve(**flags)
        return serving, web_service_pb2_grpc.WebServiceStub(serving.channel)

    return start


async def test_health_says_which_model_answers(web):
    _, stub = await web(served_model_name="a/b")
    answer = await stub.GetHealth(web_service_pb2.GetHealthRequest())
    assert (answer.status, answer.model) == ("healthy", "a/b")
    assert answer.timestamp.ToSeconds() > 1_700_000_000


async def test_health_while_loading_is_an_error_whose_body_is_the_answer(web):
    _, stub = await web(scripted_load=60.0, wait_until_ready=False)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetHealth(web_service_pb2.GetHealthRequest())
    trailers = dict(caught.value.trailing_metadata() or ())
    body = json.loads(trailers["x-palaver-body"])
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert {"status", "model", "timestamp"} == body.keys()
    assert body["status"] == "loading"
    assert int(trailers["retry-after"]) >= 1


async def test_the_document_and_its_page_are_served(web):
    _, stub = await web()
    document = await stub.GetOpenAPIDocument(web_service_pb2.GetOpenAPIDocumentRequest())
    assert document.content_type == "application/json"
    assert json.loads(document.data)["openapi"] == "3.1.0"
    page = await stub.GetDocumentation(web_service_pb2.GetDocumentationRequest())
    assert page.content_type.startswith("text/html")
    assert b"/palaver/v1/chat:stream" in page.data
    assert b"<script" not in page.data
    assert b"src=" not in page.data
    assert b"@import" not in page.data
