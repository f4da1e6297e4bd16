"""What a call leaves in the log: one line, with its id and its figures, and nothing of what was said."""

from __future__ import annotations

import asyncio
import json
import sys

import grpc
import pytest

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, content_part_pb2, message_pb2, role_pb2

CANARY = "canary-8f14e45f"


async def test_each_call_is_one_line_of_json_without_a_word_of_the_conversation(tmp_path):
    address = f"unix:{tmp_path}/s"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "palaver_server", "serve", "--engine", "scripted", "--listen", address),
        *("--log-format", "json"),
        stderr=asyncio.subprocess.PIPE,
    )
    part = content_part_pb2.ContentPart(text=CANARY)
    message = message_pb2.Message(role=role_pb2.ROLE_USER, content=[part])
    request = chat_service_pb2.ChatRequest(messages=[message])
    bad = chat_service_pb2.ChatRequest(messages=[message], model=CANARY)
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = chat_service_pb2_grpc.ChatServiceStub(channel)
            answer = await stub.Chat(request, metadata=[("x-request-id", "id-1")], wait_for_ready=True)
            assert answer.choices[0].message.content[0].text == CANARY
            streamed = stub.StreamChat(
                chat_service_pb2.StreamChatRequest(chat=request), metadata=[("x-request-id", "id-2"), ("x-key", CANARY)]
            )
            assert [event.WhichOneof("event") async for event in streamed] == ["started", "delta", "finished"]
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Chat(bad, metadata=[("x-request-id", "id-3")])
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    finally:
        process.terminate()
        _, written = await process.communicate()
    assert process.returncode == 0
    assert CANARY not in written.decode()
    lines = [json.loads(line) for line in written.decode().splitlines() if line.startswith("{")]
    calls = {line["request_id"]: line for line in lines if line["event"] == "call"}
    assert sorted(calls) == ["id-1", "id-2", "id-3"]
    assert calls["id-1"]["code"] == "OK"
    assert calls["id-1"]["output_tokens"] == 1
    assert calls["id-2"]["method"] == "/palaver.v1.ChatService/StreamChat"
    assert calls["id-3"]["reason"] == "MODEL_NOT_FOUND"
