"""The typed API over HTTP, as a client without protobuf meets it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.edge.conftest import ENDLESS, FAILING, LOADING, SILENT

MESSAGES = {"messages": [{"role": "ROLE_USER", "content": [{"text": "one two three"}]}]}
CHAT, STREAM, COUNT = "/palaver/v1/chat", "/palaver/v1/chat:stream", "/palaver/v1/chat:countTokens"
STATUS = {"code", "message", "details"}


def detail(answer: dict[str, Any], kind: str) -> dict[str, Any]:
    """The one detail of a kind in a `google.rpc.Status`."""
    (found,) = (item for item in answer["details"] if item["@type"] == f"type.googleapis.com/google.rpc.{kind}")
    return found


async def events_of(response: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) async for line in response.aiter_lines() if line]


async def test_an_answer_in_one_piece_is_json_in_snake_case(pair):
    async with pair.client() as client:
        answer = (await client.post(CHAT, json=MESSAGES)).json()
    assert answer["choices"][0]["finish_reason"] == "FINISH_REASON_STOP"
    assert answer["usage"]["total_token_count"] == answer["usage"]["prompt_token_count"] + 3
    assert answer["id"].startswith("chat-")


async def test_counting_tokens(pair):
    async with pair.client() as client:
        answer = (await client.post(COUNT, json=MESSAGES)).json()
    assert answer["prompt_token_count"] > 3
    assert answer["context_length"] == 8192


async def test_lower_camel_case_and_null_are_taken(pair):
    body = {**MESSAGES, "options": {"maxOutputTokens": 2, "temperature": None, "time_limit": "30s"}}
    async with pair.client() as client:
        answer = (await client.post(CHAT, json=body)).json()
    assert answer["choices"][0]["finish_reason"] == "FINISH_REASON_LENGTH"


async def test_an_error_before_the_first_event_has_a_status_of_its_own(pair):
    body = {**MESSAGES, "options": {"temperature": 3}}
    async with pair.client() as client:
        answer = await client.post(STREAM, json=body, headers={"x-request-id": "mine-2"})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
    assert answer.headers["x-request-id"] == "mine-2"
    assert answer.json().keys() == STATUS
    assert detail(answer.json(), "ErrorInfo")["metadata"]["request_id"] == "mine-2"
    (blamed,) = detail(answer.json(), "BadRequest")["field_violations"]
    assert blamed["field"] == "chat.options.temperature"


async def test_a_stream_that_fails_says_so_in_its_last_event(shared_pair):
    pair = shared_pair(*FAILING)
    async with pair.client() as client, client.stream("POST", STREAM, json=MESSAGES) as response:
        assert response.status_code == 200
        events = await events_of(response)
    assert [next(iter(event)) for event in events] == ["started", "delta", "delta", "delta", "error"]
    assert events[-1]["error"].keys() == STATUS
    assert detail(events[-1]["error"], "ErrorInfo")["reason"] == "GENERATION_FAILED"


async def test_a_deadline_that_passes_is_told_in_the_stream_and_as_504(shared_pair):
    pair = shared_pair(*ENDLESS)
    headers = {"grpc-timeout": "2S"}
    async with pair.client() as client:
        async with client.stream("POST", STREAM, json=MESSAGES, headers=headers) as response:
            events = await events_of(response)
        answer = await client.post(CHAT, json=MESSAGES, headers=headers)
    assert detail(events[-1]["error"], "ErrorInfo")["reason"] == "DEADLINE_EXCEEDED"
    assert answer.status_code == 504
    assert detail(answer.json(), "ErrorInfo")["reason"] == "DEADLINE_EXCEEDED"


async def test_empty_events_keep_a_slow_first_token_alive(shared_pair):
    pair = shared_pair(*SILENT)
    async with pair.client(timeout=httpx.Timeout(30, read=0.8)) as client:
        async with client.stream("POST", STREAM, json=MESSAGES) as response:
            assert response.status_code == 200
            events = await events_of(response)
        with pytest.raises(httpx.ReadTimeout):  # without them that is what happens
            await client.post(CHAT, json=MESSAGES)
    assert {} in events
    assert [next(iter(event)) for event in events if event] == ["started", "delta", "delta", "delta", "finished"]
    said = "".join(event["delta"]["text"] for event in events if "delta" in event)
    assert said == "one two three"


async def test_health_is_200_while_chats_are_answered(pair):
    async with pair.client() as client:
        answer = await client.get("/health")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert answer.json().keys() == {"status", "model", "timestamp"}
    assert (answer.json()["status"], answer.json()["model"]) == ("healthy", "scripted")


async def test_health_is_503_with_the_same_body_while_the_model_loads(shared_pair):
    pair = shared_pair(*LOADING, wait_for="edge listening")
    async with pair.client() as client:
        answer = await client.get("/health")
        refused = await client.post(CHAT, json=MESSAGES)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/json")
    assert answer.json().keys() == {"status", "model", "timestamp"}
    assert answer.json()["status"] == "loading"
    assert int(answer.headers["retry-after"]) >= 1
    assert "x-palaver-body" not in answer.headers
    # The same moment as the typed API tells it.
    assert refused.status_code == 503
    assert detail(refused.json(), "ErrorInfo")["reason"] == "MODEL_LOADING"
    assert float(detail(refused.json(), "RetryInfo")["retry_delay"].rstrip("s")) > 0
    assert int(refused.headers["retry-after"]) >= 1


async def test_the_document_and_its_page_are_there_without_anything_else(pair):
    async with pair.client() as client:
        document = await client.get("/openapi.json")
        page = await client.get("/docs")
    assert document.headers["content-type"] == "application/json"
    assert CHAT in document.json()["paths"]
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", [CHAT, STREAM, "/v1/chat/completions"])
async def test_the_examples_of_the_document_work(pair, path):
    async with pair.client() as client:
        document = (await client.get("/openapi.json")).json()
        example = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
        example = {**example, "model": "scripted"} if "model" in example else example
        answer = await client.post(path, json=example)
    assert answer.status_code == 200, answer.text


async def test_pages_of_a_configured_origin_may_call_and_others_may_not(start_pair):
    pair = start_pair("--edge-origins", "https://app.example.com")
    asking = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key,content-type"}
    async with pair.client() as client:
        allowed = await client.options(CHAT, headers={"origin": "https://app.example.com", **asking})
        refused = await client.options(CHAT, headers={"origin": "https://evil.example.com", **asking})
        answer = await client.post(CHAT, json=MESSAGES, headers={"origin": "https://app.example.com"})
    assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "x-api-key" in allowed.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in refused.headers
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "x-request-id" in answer.headers["access-control-expose-headers"]


async def test_a_header_that_http_allows_and_grpc_does_not_is_left_out(pair):
    odd = {"d+pi": "x", "*": "y", "a'b|c": "z", "x-request-id": "odd-1"}
    async with pair.client() as client:
        answer = await client.post(CHAT, json=MESSAGES, headers=odd)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-request-id"] == "odd-1"
