"""The whole way, from a client's stub to the real model and back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import grpc
import psutil
import pytest
import pytest_asyncio
from google.protobuf import json_format

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, choice_pb2
from palaver_server.core.admission import Admission
from palaver_server.core.chat import Chat
from palaver_server.core.identity.door import Door
from palaver_server.core.identity.registry import KeyRegistry
from palaver_server.core.limits.failed_attempts import FailedAttempts
from palaver_server.core.loading import Loading
from palaver_server.core.readiness import Readiness
from palaver_server.engine.vllm.engine import VllmEngine
from palaver_server.rpc.entrance import Entrance
from palaver_server.rpc.server import RpcServer
from palaver_server.rpc.transport import ServerLimits

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]
ROUNDS = 100
KILLED_CLIENT = """
import asyncio, sys, grpc
from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc

async def main():
    request = chat_service_pb2.StreamChatRequest.FromString(bytes.fromhex(sys.argv[2]))
    async with grpc.aio.insecure_channel(sys.argv[1]) as channel:
        stub = chat_service_pb2_grpc.ChatServiceStub(channel)
        async for event in stub.StreamChat(request):
            print(event.WhichOneof("event"), flush=True)

asyncio.run(main())
"""


@dataclass
class Serving:
    address: str
    engine: VllmEngine
    stub: chat_service_pb2_grpc.ChatServiceAsyncStub


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def serving(engine: VllmEngine) -> AsyncIterator[Serving]:
    readiness, loading = Readiness(), Loading()
    chat = Chat(engine, Admission(max_concurrent=64, max_queued=64), readiness, loading, slow_reader_seconds=30.0)
    nobody_has_a_key = Door(KeyRegistry(), FailedAttempts(1))
    server = RpcServer(
        chat,
        readiness,
        loading,
        entrance=Entrance(nobody_has_a_key, None),
        edge_entrance=None,
        limits=ServerLimits(),
        tls=None,
        max_health_watches=8,
        event_stream_keepalive_seconds=15.0,
    )
    address = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(address) as channel:
        yield Serving(address, engine, chat_service_pb2_grpc.ChatServiceStub(channel))
    await server.stop()


def ask(text: str, **options: object) -> chat_service_pb2.ChatRequest:
    body = {"messages": [{"role": "ROLE_USER", "content": [{"text": text}]}], "options": options}
    return json_format.ParseDict(body, chat_service_pb2.ChatRequest())


def stream(text: str, **options: object) -> chat_service_pb2.StreamChatRequest:
    return chat_service_pb2.StreamChatRequest(chat=ask(text, **options))


STORY = stream("Write a long story about a ship and its crew.", temperature=0, max_output_tokens=1500)


async def until(condition: Callable[[], bool], seconds: float = 2.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


async def test_the_capital_is_the_same_streamed_and_not_and_the_tokens_add_up(serving: Serving) -> None:
    question = ask("What is the capital of France?", temperature=0)
    answer = await serving.stub.Chat(question)
    text = answer.choices[0].message.content[0].text
    assert "Paris" in text
    assert answer.choices[0].finish_reason == choice_pb2.FINISH_REASON_STOP
    events = [event async for event in serving.stub.StreamChat(chat_service_pb2.StreamChatRequest(chat=question))]
    kinds = [event.WhichOneof("event") for event in events]
    assert (kinds[0], set(kinds[1:-1]), kinds[-1]) == ("started", {"delta"}, "finished")
    assert "".join(event.delta.text for event in events) == text
    counted = await serving.stub.CountTokens(chat_service_pb2.CountTokensRequest(chat=question))
    usage = events[-1].finished.usage
    assert usage.prompt_token_count == counted.prompt_token_count == events[0].started.prompt_token_count
    assert usage.total_token_count == usage.prompt_token_count + usage.output_token_count
    assert usage.output_token_count == answer.usage.output_token_count


async def test_a_caller_who_cancels_frees_the_engine_every_time_and_leaves_no_memory(serving: Serving) -> None:
    sizes = []
    for _ in range(ROUNDS):
        call = serving.stub.StreamChat(STORY)
        await call.read()
        await call.read()
        assert serving.engine.running_count == 1
        call.cancel()
        await until(lambda: serving.engine.running_count == 0)
        sizes.append(psutil.Process().memory_info().rss)
    assert sizes[-1] - sizes[ROUNDS // 2] < 8 * 1024**2


async def test_a_caller_who_closes_its_channel_frees_the_engine_every_time(serving: Serving) -> None:
    for _ in range(ROUNDS):
        async with grpc.aio.insecure_channel(serving.address) as channel:
            call = chat_service_pb2_grpc.ChatServiceStub(channel).StreamChat(STORY)
            await call.read()
            await call.read()
        await until(lambda: serving.engine.running_count == 0)


async def test_a_deadline_that_passes_frees_the_engine_every_time(serving: Serving) -> None:
    for _ in range(ROUNDS):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in serving.stub.StreamChat(STORY, timeout=0.15):
                pass
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: serving.engine.running_count == 0)


async def test_a_client_that_is_killed_frees_the_engine(serving: Serving) -> None:
    for _ in range(3):
        client = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", KILLED_CLIENT, serving.address, STORY.SerializeToString().hex()),
            stdout=asyncio.subprocess.PIPE,
        )
        assert client.stdout is not None
        assert await client.stdout.readline() == b"started\n"
        assert await client.stdout.readline() == b"delta\n"
        assert serving.engine.running_count == 1
        client.kill()
        await client.communicate()
        await until(lambda: serving.engine.running_count == 0)


BAD = [
    ("more output than the context", ask("hi", max_output_tokens=100_000), "options.max_output_tokens"),
    ("a prompt beyond the context", ask("word " * 5000), "and the conversation has 5"),
]


@pytest.mark.parametrize(("request_", "said"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
async def test_what_only_the_model_knows_is_refused_as_clearly(
    serving: Serving, request_: chat_service_pb2.ChatRequest, said: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await serving.stub.Chat(request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert said in (caught.value.details() or "")
    assert serving.engine.running_count == 0
