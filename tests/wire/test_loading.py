from __future__ import annotations

import asyncio

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from palaver.v1 import chat_service_pb2, content_part_pb2, message_pb2, model_pb2, model_service_pb2, role_pb2

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def chat_request() -> chat_service_pb2.ChatRequest:
    part = content_part_pb2.ContentPart(text="hi")
    return chat_service_pb2.ChatRequest(messages=[message_pb2.Message(role=role_pb2.ROLE_USER, content=[part])])


async def test_everything_but_chat_answers_while_the_model_loads(serve):
    server = await serve(scripted_load=1.0, wait_until_ready=False)
    health = health_pb2_grpc.HealthStub(server.channel)
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING
    assert (await health.Check(health_pb2.HealthCheckRequest(service="palaver.live"))).status == SERVING
    watch = health.Watch(health_pb2.HealthCheckRequest(service="palaver.v1.ChatService"))
    assert (await watch.read()).status == NOT_SERVING

    model = await server.models.GetModel(model_service_pb2.GetModelRequest(name="models/scripted"))
    assert model.state == model_pb2.MODEL_STATE_LOADING
    assert model.load_progress.phase != model_pb2.LOAD_PHASE_UNSPECIFIED

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.chat.Chat(chat_request())
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    status = status_pb2.Status.FromString(dict(caught.value.trailing_metadata())["grpc-status-details-bin"])
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[-1].Unpack(retry)
    assert info.reason == "MODEL_LOADING"
    assert 1 <= retry.retry_delay.seconds <= 30

    assert (await watch.read()).status == SERVING
    assert (await server.chat.Chat(chat_request())).choices[0].message.content[0].text == "hi"
    model = await server.models.GetModel(model_service_pb2.GetModelRequest(name="models/scripted"))
    assert model.state == model_pb2.MODEL_STATE_READY
    assert model.context_length == 8192


async def test_a_load_that_fails_ends_the_server_with_a_failure(serve):
    server = await serve(scripted_load_error="The weights are gone.", wait_until_ready=False)
    assert await asyncio.wait_for(asyncio.shield(server.finished), 5) == 1
