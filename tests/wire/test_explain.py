"""ExplainChat: who may ask, and what is told; what was left out of a conversation; the fingerprint."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from palaver.v1 import chat_service_pb2, model_service_pb2
from palaver_server.core.identity.issuing import create_key
from palaver_server.core.identity.key import Key
from palaver_server.core.identity.key_file import KeyFile

EXPLAIN = "palaver.v1.ChatService/ExplainChat"


def chat(*texts: str, **fields: Any) -> chat_service_pb2.ChatRequest:
    roles = ("ROLE_USER", "ROLE_ASSISTANT") * len(texts)
    messages = [{"role": role, "content": [{"text": text}]} for role, text in zip(roles, texts, strict=False)]
    return json_format.ParseDict({"messages": messages, **fields}, chat_service_pb2.ChatRequest())


def explain(*texts: str, **fields: Any) -> chat_service_pb2.ExplainChatRequest:
    return chat_service_pb2.ExplainChatRequest(chat=chat(*texts, **fields))


async def reason_of(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status, info = rpc_status.from_call(caught.value), error_details_pb2.ErrorInfo()
    assert status is not None
    assert status.details[0].Unpack(info)
    return caught.value.code(), info.reason


async def test_without_keys_only_the_setting_opens_it(serve):
    denied = (grpc.StatusCode.PERMISSION_DENIED, "METHOD_NOT_ALLOWED")
    assert await reason_of((await serve()).chat.ExplainChat(explain("hi"))) == denied
    assert (await (await serve(allow_explain=True)).chat.ExplainChat(explain("hi"))).prompt_token_count == 5


async def test_with_keys_only_those_that_name_it_open_it(serve, tmp_path):
    key_file = KeyFile(tmp_path / "keys.json")

    def issue(**fields: Any) -> tuple[tuple[str, str], ...]:
        def make(key_id: str, now: datetime, secret: Any) -> Key:
            return Key(id=key_id, client="acme", created_at=now, secrets=(secret,), **fields)

        return (("x-api-key", create_key(key_file, make).text),)

    every, named, other = issue(), issue(methods={EXPLAIN}), issue(methods={"palaver.v1.ChatService/Chat"})
    server = await serve(keys_file=key_file.path, allow_explain=True)  # the setting is for callers without keys
    assert (await server.chat.ExplainChat(explain("hi"), metadata=named)).model == "scripted"
    denied = (grpc.StatusCode.PERMISSION_DENIED, "METHOD_NOT_ALLOWED")
    for key in (every, other):
        assert await reason_of(server.chat.ExplainChat(explain("hi"), metadata=key)) == denied
    await server.chat.Chat(chat("hi"), metadata=every)


async def test_all_that_is_known_before_the_answer_is_told_and_nothing_is_generated(serve):
    server = await serve(allow_explain=True, default_max_output_tokens=7)
    told = await server.chat.ExplainChat(explain("one two three", options={"temperature": 0.5}))
    assert told.prompt_text == "<|im_start|>user\none two three<|im_end|>\n"
    assert (told.prompt_token_count, told.context_length, told.max_output_tokens) == (7, 8192, 7)
    assert (told.effective_options.temperature, told.effective_options.max_output_tokens) == (0.5, 7)
    assert told.chat_template_arguments_json == "{}"
    assert not told.HasField("context_truncation")
    answer = await server.chat.Chat(chat("one two three"))
    assert (told.model, told.system_fingerprint) == (answer.model, answer.system_fingerprint)
    assert told.prompt_token_count == answer.usage.prompt_token_count
    assert server.engine.running_count == 0


async def test_what_was_left_out_is_told_wherever_it_can_matter(serve):
    server = await serve(allow_explain=True)
    policy = {"context_policy": {"overflow": "CONTEXT_OVERFLOW_DROP_OLDEST", "max_prompt_tokens": 12}}
    long = ("one two three four", "five six", "seven eight")
    whole = await server.chat.Chat(chat(*long, **policy))
    assert list(whole.context_truncation.dropped_message_indices) == [0, 1]
    assert whole.context_truncation.dropped_message_count == 2
    assert whole.usage.prompt_token_count == 6
    stream = server.chat.StreamChat(chat_service_pb2.StreamChatRequest(chat=chat(*long, **policy)))
    started = (await stream.read()).started
    counted = await server.chat.CountTokens(chat_service_pb2.CountTokensRequest(chat=chat(*long, **policy)))
    told = await server.chat.ExplainChat(explain(*long, **policy))
    assert whole.context_truncation == started.context_truncation == counted.context_truncation
    assert told.context_truncation == whole.context_truncation
    stream.cancel()


async def test_the_fingerprint_is_the_same_everywhere_and_another_with_other_defaults(serve):
    server, other = await serve(), await serve(default_temperature=0.3)
    whole = (await server.chat.Chat(chat("hi"))).system_fingerprint
    stream = [one async for one in server.chat.StreamChat(chat_service_pb2.StreamChatRequest(chat=chat("hi")))]
    model = await server.models.GetModel(model_service_pb2.GetModelRequest(name="models/scripted"))
    assert whole.startswith("fp_")
    assert whole == stream[0].started.system_fingerprint == model.system_fingerprint
    assert whole != (await other.chat.Chat(chat("hi"))).system_fingerprint
