"""One port, every protocol: the same answer over each, and Envoy's own answers in each one's shape."""

from __future__ import annotations

import base64
import json
import re
import struct

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, model_service_pb2, model_service_pb2_grpc, role_pb2
from tests.edge.conftest import NAMED

MESSAGES = {"messages": [{"role": "ROLE_USER", "content": [{"text": "one two three"}]}]}


def chat_request(text: str = "one two three") -> chat_service_pb2.ChatRequest:
    request = chat_service_pb2.ChatRequest()
    request.messages.add(role=role_pb2.ROLE_USER).content.add(text=text)
    return request


def events_of(text: str) -> list[dict]:
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if line]


async def test_grpc_over_tls(pair):
    async with pair.channel() as channel:
        stub = chat_service_pb2_grpc.ChatServiceStub(channel)
        call = stub.Chat(chat_request(), metadata=[("x-request-id", "mine-1")])
        answer = await call
        assert answer.choices[0].message.content[0].text == "one two three"
        assert dict(await call.trailing_metadata())["x-request-id"] == "mine-1"
        streamed = [event async for event in stub.StreamChat(chat_service_pb2.StreamChatRequest(chat=chat_request()))]
        assert "".join(event.delta.text for event in streamed) == "one two three"
        models = await model_service_pb2_grpc.ModelServiceStub(channel).ListModels(
            model_service_pb2.ListModelsRequest()
        )
        assert [model.name for model in models.models] == ["models/scripted"]


async def test_rest_in_one_piece_and_as_server_sent_events(pair):
    async with pair.client() as client:
        answer = await client.post("/palaver/v1/chat", json=MESSAGES)
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["message"]["content"] == [{"text": "one two three"}]
        assert answer.headers["x-request-id"]
        assert "x-envoy-upstream-service-time" not in answer.headers
        streamed = await client.post("/palaver/v1/chat:stream", json=MESSAGES)
        assert streamed.headers["content-type"] == "text/event-stream"
        events = events_of(streamed.text)
        assert "".join(event.get("delta", {}).get("text", "") for event in events) == "one two three"
        assert "finished" in events[-1]
        assert (await client.get("/palaver/v1/models")).json()["models"][0]["name"] == "models/scripted"


async def test_a_model_name_with_a_slash_reaches_the_server_escaped_or_not(shared_pair):
    pair = shared_pair(*NAMED)
    async with pair.client() as client:
        for path in ("models/org/model", "models/org%2Fmodel"):
            answer = await client.get(f"/palaver/v1/{path}")
            assert answer.json()["name"] == "models/org/model", answer.text


@pytest.mark.parametrize("kind", ["application/grpc-web+proto", "application/grpc-web-text"])
async def test_grpc_web(pair, kind):
    message = chat_request().SerializeToString()
    frame = struct.pack(">BI", 0, len(message)) + message
    is_text = kind.endswith("text")
    async with pair.client() as client:
        answer = await client.post(
            "/palaver.v1.ChatService/Chat",
            content=base64.b64encode(frame) if is_text else frame,
            headers={"content-type": kind, "accept": kind, "x-grpc-web": "1"},
        )
    body = answer.content
    if is_text:
        body = b"".join(base64.b64decode(part) for part in re.findall("[^=]+=*", answer.text))  # padded piece by piece
    length = int.from_bytes(body[1:5], "big")
    assert chat_service_pb2.ChatResponse.FromString(body[5 : 5 + length]).choices[0].message.content
    assert b"grpc-status:0" in body[5 + length :].replace(b" ", b"")


async def test_an_error_of_the_server_keeps_its_details_over_grpc_and_rest(pair):
    bad = {**MESSAGES, "options": {"temperature": 3}}
    async with pair.client() as client, pair.channel() as channel:
        answer = await client.post("/palaver/v1/chat", json=bad)
        assert answer.status_code == 400
        assert answer.json()["code"] == 3
        reasons = [detail.get("reason") for detail in answer.json()["details"]]
        assert "INVALID_FIELD" in reasons
        request = chat_request()
        request.options.temperature = 3
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await chat_service_pb2_grpc.ChatServiceStub(channel).Chat(request)
        status = status_pb2.Status.FromString(dict(refused.value.trailing_metadata())["grpc-status-details-bin"])
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        assert info.reason == "INVALID_FIELD"
        logged = pair.edge_call(answer.headers["x-request-id"])
        assert (logged["status"], logged["code"], logged["path"]) == (400, 3, "/palaver/v1/chat")


SAID_BY_ENVOY = [
    # method, path, headers, body, status, reason, OpenAI's code
    ("GET", "/nothing", {}, None, 404, "PATH_NOT_FOUND", None),
    ("GET", "/v1/nothing", {}, None, 404, None, "unknown_url"),
    ("GET", "/palaver/v1/chat", {}, None, 405, "HTTP_METHOD_NOT_ALLOWED", None),
    ("DELETE", "/v1/chat/completions", {}, None, 405, None, "method_not_allowed"),
    ("POST", "/palaver/v1/chat", {"content-type": "text/plain"}, b"{}", 415, "UNSUPPORTED_MEDIA_TYPE", None),
    ("POST", "/v1/chat/completions", {"content-type": "text/plain"}, b"{}", 415, None, "unsupported_media_type"),
    ("POST", "/palaver/v1/chat", {"content-type": "application/json"}, b'{"a', 400, "MALFORMED_REQUEST", None),
]


@pytest.mark.parametrize("row", SAID_BY_ENVOY, ids=lambda row: f"{row[0]} {row[1]} {row[4]}")
async def test_what_envoy_answers_itself_has_the_shape_of_its_protocol(pair, row):
    method, path, headers, body, status, reason, code = row
    async with pair.client() as client:
        answer = await client.request(method, path, headers=headers, content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    assert answer.headers["x-request-id"]
    if code:
        assert answer.json()["error"]["code"] == code
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    else:
        (info,) = answer.json()["details"]
        assert (info["reason"], info["domain"]) == (reason, "palaver.v1")
        assert info["metadata"]["request_id"] == answer.headers["x-request-id"]
    if status == 405:
        assert answer.headers["allow"] == "POST, OPTIONS"
