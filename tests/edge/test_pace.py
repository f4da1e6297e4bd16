"""Words arrive one by one over every transport, and a slow first word outlives an idle timeout."""

from __future__ import annotations

import json
import time

import pytest

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, role_pb2
from tests.edge.conftest import SILENT

WORDS, INTERVAL = 8, 0.15
PAIR_FLAGS = ("--scripted-tokens", str(WORDS), "--scripted-interval", str(INTERVAL))
MESSAGES = {"messages": [{"role": "ROLE_USER", "content": [{"text": "hi"}]}]}
OPENAI = {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


async def times_over_http(client, path: str, body: dict, has_text) -> list[float]:
    async with client.stream("POST", path, json=body) as answer:
        assert answer.status_code == 200
        return [
            time.monotonic()
            async for line in answer.aiter_lines()
            if line.startswith("data: {") and has_text(json.loads(line.removeprefix("data: ")))
        ]


async def times_over_grpc(channel) -> list[float]:
    request = chat_service_pb2.StreamChatRequest()
    request.chat.messages.add(role=role_pb2.ROLE_USER).content.add(text="hi")
    stream = chat_service_pb2_grpc.ChatServiceStub(channel).StreamChat(request)
    return [time.monotonic() async for event in stream if event.delta.text]


@pytest.mark.parametrize("transport", ["gRPC", "REST", "OpenAI"])
async def test_words_arrive_at_the_pace_of_the_engine(pair, transport):
    async with pair.client() as client, pair.channel() as channel:
        if transport == "gRPC":
            times = await times_over_grpc(channel)
        elif transport == "REST":
            times = await times_over_http(
                client, "/palaver/v1/chat:stream", MESSAGES, lambda event: event.get("delta", {}).get("text")
            )
        else:
            times = await times_over_http(
                client, "/v1/chat/completions", OPENAI, lambda event: event["choices"][0]["delta"].get("content")
            )
    # A door that held them back would let them all through at once; a busy machine may join two.
    assert len(times) >= WORDS - 3
    assert times[-1] - times[0] > INTERVAL * (WORDS - 1) * 0.8


async def test_comments_keep_a_slow_first_word_alive(shared_pair):
    pair = shared_pair(*SILENT)
    async with pair.client() as client:
        answer = await client.post("/v1/chat/completions", json=OPENAI)
        assert answer.text.rstrip().endswith("data: [DONE]")
        assert sum(line.startswith(":") for line in answer.text.splitlines()) >= 3
        # What sends nothing meanwhile is given up, with words: an answer in one piece.
        silent = await client.post("/v1/chat/completions", json={**OPENAI, "stream": False})
        assert (silent.status_code, silent.json()["error"]["code"]) == (504, "deadline_exceeded")
        given_up = await client.post("/palaver/v1/chat", json=MESSAGES)
        assert (given_up.status_code, given_up.json()["details"][0]["reason"]) == (504, "DEADLINE_EXCEEDED")
        # A deadline of the caller's own, which any of three may be first to see: Envoy, whose words name the header;
        # the server; or gRPC within it, which has no words but these.
        hasty = await client.post("/palaver/v1/chat", json=MESSAGES, headers={"grpc-timeout": "1n"})
        assert hasty.status_code == 504
        told = hasty.json()
        if "details" not in told:
            assert told == {"code": 4, "message": "Deadline Exceeded"}
            return
        by_envoy = told["details"][0]["reason"] == "DEADLINE_EXCEEDED"
        assert ("`grpc-timeout`" if by_envoy else "deadline") in told["message"]
