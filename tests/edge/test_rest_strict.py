"""Requests that Envoy's transcoder would take by guess or cut down in silence: refused before it sees them."""

from __future__ import annotations

import json

import pytest

from tests.wire.test_rest_check import BAD, CHAT, GOOD

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_what_the_check_refuses_is_refused_at_the_edge(pair, bad):
    method, path, sent, reason, field = bad
    async with pair.client() as client:
        answer = await client.request(method, path, content=sent, headers=JSON)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json"), answer.text
    assert answer.headers["x-request-id"]
    info, *more = answer.json()["details"]
    assert (info["reason"], info["domain"]) == (reason, "palaver.v1")
    assert info["metadata"]["request_id"] == answer.headers["x-request-id"]
    assert [blamed["field"] for detail in more for blamed in detail["field_violations"]] == ([field] if field else [])


@pytest.mark.parametrize("good", [row for row in GOOD.values() if row[0] == "POST" and row[2] != b"{"])
async def test_what_the_check_takes_the_transcoder_takes(pair, good):
    method, path, sent = good
    async with pair.client() as client:
        answer = await client.request(method, path, content=sent, headers=JSON)
    # A server may refuse a value or a model; that it could be read is the point.
    assert answer.status_code == 200 or answer.json()["details"][0]["reason"] != "MALFORMED_REQUEST", answer.text


async def test_text_of_every_script_comes_back_as_it_went(pair):
    text = "Grüße \U0001f600 \u2028 中文 \u0007 end"
    async with pair.client() as client:
        body = json.dumps({"messages": [{"role": "ROLE_USER", "content": [{"text": text}]}]}).encode()
        answer = await client.post(CHAT, content=body, headers=JSON)
    assert answer.json()["choices"][0]["message"]["content"][0]["text"].split() == text.split()
