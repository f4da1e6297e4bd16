"""Envoy's questions, asked as Envoy asks them, over the internal socket of a real server."""

from __future__ import annotations

import stat

import grpc
import pytest
from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
from envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc
from google.protobuf import json_format
from google.rpc import code_pb2

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, content_part_pb2, message_pb2, role_pb2
from palaver_server.core.identity.issuing import create_key
from palaver_server.core.identity.key import Key
from palaver_server.core.identity.key_file import KeyFile

MESSAGE = message_pb2.Message(role=role_pb2.ROLE_USER, content=[content_part_pb2.ContentPart(text="one")])
COUNT = chat_service_pb2.CountTokensRequest(chat=chat_service_pb2.ChatRequest(messages=[MESSAGE]))


@pytest.fixture
def sockets(tmp_path):
    return {
        "keys_file": tmp_path / "keys.json",
        "internal_socket": tmp_path / "internal.sock",
        "edge_socket": tmp_path / "api.sock",
    }


@pytest.fixture
def issue(sockets):
    def issue_key(client="acme", **fields):
        def make(key_id, now, secret):
            return Key(id=key_id, client=client, created_at=now, secrets=(secret,), **fields)

        return create_key(KeyFile(sockets["keys_file"]), make)

    return issue_key


def check(path="/v1/chat/completions", address="192.0.2.7", body=b"", **headers):
    request = external_auth_pb2.CheckRequest()
    request.attributes.source.address.socket_address.address = address
    http = request.attributes.request.http
    http.method, http.path, http.raw_body = "POST", path, body
    http.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return request


def descriptors(key_id, path="/v1/models", content_type="application/json"):
    request = rls_pb2.RateLimitRequest(domain="palaver")
    if key_id is not None:
        request.descriptors.add().entries.add(key="rate_limit_key", value=key_id)
    shape = request.descriptors.add()
    shape.entries.add(key="path", value=path)
    shape.entries.add(key="content_type", value=content_type)
    return request


def told(values):
    return {value.key: value.value for value in values}


async def test_a_client_is_told_as_metadata_and_never_as_a_header(serve, sockets, issue):
    limited, free = issue(requests_per_minute=7), issue("free", requests_per_minute="unlimited")
    await serve(**sockets)
    async with grpc.aio.insecure_channel(f"unix:{sockets['internal_socket']}") as channel:
        ask = external_auth_pb2_grpc.AuthorizationStub(channel).Check
        answer = await ask(check(x_api_key=limited.text))
        assert answer.status.code == code_pb2.OK
        assert not answer.ok_response.headers
        assert not answer.ok_response.headers_to_remove
        assert json_format.MessageToDict(answer.dynamic_metadata) == {
            "client_id": "acme",
            "key_id": limited.key.id,
            "tier": "default",
            "rate_limit_key": limited.key.id,
            "rate_limit": {"requests_per_unit": 7.0, "unit": "MINUTE"},
        }
        unlimited = json_format.MessageToDict((await ask(check(authorization=f"Bearer {free.text}"))).dynamic_metadata)
        assert "rate_limit_key" not in unlimited
        denied = await ask(check("/palaver.v1.ChatService/Chat", content_type="application/grpc", x_api_key="sk-1"))
        headers = told(option.header for option in denied.denied_response.headers)
        assert (denied.status.code, denied.denied_response.status.code) == (code_pb2.UNAUTHENTICATED, 401)
        assert denied.denied_response.body == denied.status.message
        assert (headers["grpc-status"], headers["x-palaver-error"]) == ("16", "KEY_MALFORMED")


async def test_without_keys_callers_are_local_or_anonymous_by_their_address(serve, sockets):
    await serve(**sockets)
    async with grpc.aio.insecure_channel(f"unix:{sockets['internal_socket']}") as channel:
        ask = external_auth_pb2_grpc.AuthorizationStub(channel).Check
        for address, client in (("127.0.0.1", "local"), ("::1", "local"), ("192.0.2.7", "anonymous"), ("", "local")):
            answer = await ask(check(address=address))
            assert json_format.MessageToDict(answer.dynamic_metadata) == {"client_id": client}


async def test_a_body_is_checked_only_for_who_has_a_key(serve, sockets, issue):
    key = issue().text
    await serve(**sockets)
    async with grpc.aio.insecure_channel(f"unix:{sockets['internal_socket']}") as channel:
        ask = external_auth_pb2_grpc.AuthorizationStub(channel).Check
        bad = {"path": "/palaver/v1/chat", "body": b'{"nope": 1}'}
        assert (await ask(check(**bad))).status.code == code_pb2.UNAUTHENTICATED
        refused = await ask(check(**bad, x_api_key=key))
        assert refused.status.code == code_pb2.INVALID_ARGUMENT
        assert "nope" in refused.denied_response.body
        good = b'{"messages": [{"role": "ROLE_USER", "content": [{"text": "one"}]}]}'
        assert (await ask(check("/palaver/v1/chat", body=good, x_api_key=key))).status.code == code_pb2.OK
        # As large a body as the API takes passes here too.
        large = b'{"messages": [{"role": "ROLE_USER", "content": [{"text": "' + b"a" * (8 * 1024**2 - 100) + b'"}]}]}'
        assert (await ask(check("/palaver/v1/chat", body=large, x_api_key=key))).status.code == code_pb2.OK


async def test_the_edge_and_direct_callers_draw_from_one_bucket_and_nobody_pays_twice(serve, sockets, issue):
    issued = issue(requests_per_minute=5)
    shown = (("x-api-key", issued.text),)
    server = await serve(**sockets)
    async with (
        grpc.aio.insecure_channel(f"unix:{sockets['internal_socket']}") as internal,
        grpc.aio.insecure_channel(f"unix:{sockets['edge_socket']}") as edge,
    ):
        ask = rls_pb2_grpc.RateLimitServiceStub(internal).ShouldRateLimit
        allowed = await ask(descriptors(issued.key.id))
        assert allowed.overall_code == rls_pb2.RateLimitResponse.OK
        assert told(allowed.response_headers_to_add)["x-ratelimit-remaining"] == "4"
        assert told(allowed.response_headers_to_add)["x-ratelimit-remaining-requests"] == "4"
        for _ in range(10):
            await chat_service_pb2_grpc.ChatServiceStub(edge).CountTokens(COUNT, metadata=shown)
        for left in (3, 2, 1, 0):
            call = server.chat.CountTokens(COUNT, metadata=shown)
            await call
            assert dict(await call.trailing_metadata())["x-ratelimit-remaining"] == str(left)
        assert await server.chat.CountTokens(COUNT, metadata=shown).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        refused = await ask(descriptors(issued.key.id))
        assert refused.overall_code == rls_pb2.RateLimitResponse.OVER_LIMIT
        assert b'"code":"rate_limit_exceeded"' in refused.raw_body
        headers = told(refused.response_headers_to_add)
        assert int(headers["retry-after"]) >= 1
        assert headers["content-type"] == "application/json"
        as_grpc = await ask(descriptors(issued.key.id, "/palaver.v1.ChatService/Chat", "application/grpc"))
        assert "grpc-status-details-bin" in told(as_grpc.response_headers_to_add)
        assert not as_grpc.raw_body.startswith(b"{")
        # Reflection costs nothing, and neither does a caller without a limited key.
        free = (descriptors(issued.key.id, "/grpc.reflection.v1.ServerReflection/X"), descriptors(None))
        for question in (*free, descriptors("key-unknown")):
            assert (await ask(question)).overall_code == rls_pb2.RateLimitResponse.OK


async def test_the_sockets_are_the_owners_alone_and_the_api_knows_nothing_of_the_questions(serve, sockets, issue):
    key = issue().text
    server = await serve(**sockets)
    for name in ("internal_socket", "edge_socket"):
        assert stat.S_IMODE(sockets[name].stat().st_mode) == 0o600
    async with (
        grpc.aio.insecure_channel(f"unix:{sockets['edge_socket']}") as edge,
        grpc.aio.insecure_channel(f"unix:{sockets['internal_socket']}") as internal,
    ):
        for channel in (server.channel, edge):
            for method in (
                "/envoy.service.auth.v3.Authorization/Check",
                "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit",
            ):
                call = channel.unary_unary(method)(b"", metadata=(("x-api-key", key),))
                assert await call.code() is grpc.StatusCode.UNIMPLEMENTED
        call = chat_service_pb2_grpc.ChatServiceStub(internal).CountTokens(COUNT)
        assert await call.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_questions_are_answered_while_the_model_loads(serve, sockets, issue):
    key = issue().text
    await serve(**sockets, wait_until_ready=False, scripted_load=30.0)
    async with grpc.aio.insecure_channel(f"unix:{sockets['internal_socket']}") as channel:
        answer = await external_auth_pb2_grpc.AuthorizationStub(channel).Check(check(x_api_key=key))
        assert answer.status.code == code_pb2.OK
