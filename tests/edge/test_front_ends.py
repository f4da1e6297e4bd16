"""Several front ends behind one edge, and beside it: calls are shared out evenly, keys and limits are one."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import time

import grpc
import psutil
import pytest

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, role_pb2
from palaver_server.app.front_ends.child import MODULE
from tests.edge import conftest

REST = {"messages": [{"role": "ROLE_USER", "content": [{"text": "one"}]}]}
RATE = 40
CONNECTIONS = 12
SEEN_SECONDS = 1.0
"""Within which a change of keys counts."""


@pytest.fixture(scope="module")
def keyed_pair(tmp_path_factory):
    """Two front ends that want keys; ``--grace 0``: its last test leaves streams behind."""
    state_dir = tmp_path_factory.mktemp("s")
    conftest.keys(state_dir, "create", "--client", "first")
    flags = ("--front-ends", "2", "--max-concurrent-requests", "8", "--max-queued-requests", "0", "--grace", "0")
    slow = ("--scripted-tokens", "10000", "--scripted-interval", "0.05")
    with conftest.running_pair(*flags, *slow, state_dir=state_dir) as pair:
        yield pair


@contextlib.asynccontextmanager
async def direct_stubs(pair, count=CONNECTIONS):
    """Stubs beside the edge, each with a connection of its own, which the kernel deals to some front end."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(pair.direct, options) for _ in range(count)]
    try:
        yield [chat_service_pb2_grpc.ChatServiceStub(channel) for channel in channels]
    finally:
        for channel in channels:
            await channel.close()


def chat_request() -> chat_service_pb2.ChatRequest:
    request = chat_service_pb2.ChatRequest()
    request.messages.add(role=role_pb2.ROLE_USER).content.add(text="one")
    return request


async def test_a_limit_counts_once_whichever_process_a_call_reaches(keyed_pair):
    key = conftest.keys(keyed_pair.state_dir, "create", "--client", "limited", "--requests-per-minute", str(RATE))
    count = chat_service_pb2.CountTokensRequest(chat=chat_request())
    await asyncio.sleep(SEEN_SECONDS)
    began = time.monotonic()
    async with keyed_pair.client() as client, direct_stubs(keyed_pair) as stubs:

        async def by_rest() -> bool:
            answer = await client.post("/palaver/v1/chat:countTokens", json=REST, headers={"x-api-key": key})
            return answer.status_code == 200

        async def beside(stub) -> bool:
            code = await stub.CountTokens(count, metadata=(("x-api-key", key),)).code()
            assert code in (grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED)
            return code is grpc.StatusCode.OK

        let_in = await asyncio.gather(*(by_rest() for _ in range(RATE)), *(beside(s) for s in stubs for _ in range(4)))
    asked = collections.Counter(line.get("front_end", 0) for line in keyed_pair.events("call"))
    assert set(asked) == {0, 1}, "the calls reached both"
    assert RATE <= sum(let_in) <= RATE + RATE * (time.monotonic() - began) / 60


async def test_the_edge_gives_each_its_share_and_a_revoked_key_ends_its_streams_in_both(keyed_pair):
    key, key_id = conftest.new_key(keyed_pair.state_dir, "streams", "--requests-per-minute", "unlimited")
    await asyncio.sleep(SEEN_SECONDS)
    stream = chat_service_pb2.StreamChatRequest(chat=chat_request())
    async with keyed_pair.channel() as channel:
        stub = chat_service_pb2_grpc.ChatServiceStub(channel)

        async def one_more() -> grpc.aio.UnaryStreamCall:
            call = stub.StreamChat(stream, metadata=(("x-api-key", key),))
            assert (await call.read()).HasField("started")
            return call

        # All the room that there is, taken one by one: with a share too many for one of them, one would be refused.
        calls = [await one_more() for _ in range(8)]
        # Then one of them alone has room, and not by turns.
        for place in (0, 2, 4, 6, 1, 3, 5, 7):
            left = len(keyed_pair.events("call"))
            calls[place].cancel()
            async with asyncio.timeout(10):
                while len(keyed_pair.events("call")) == left:
                    await asyncio.sleep(0.01)
            calls[place] = await one_more()
        over = stub.StreamChat(stream, metadata=(("x-api-key", key),))
        assert await over.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        conftest.keys(keyed_pair.state_dir, "revoke", key_id)
        codes = await asyncio.wait_for(asyncio.gather(*(ended(call) for call in calls)), 20)
        assert set(codes) == {grpc.StatusCode.UNAUTHENTICATED}

    def revoked() -> list[dict]:
        return [line for line in keyed_pair.events("call") if line.get("reason") == "KEY_REVOKED"]

    lines = keyed_pair.wait_for(lambda: found if len(found := revoked()) >= len(calls) else None, "a line is missing")
    assert collections.Counter(line.get("front_end", 0) for line in lines) == {0: 4, 1: 4}


async def ended(call) -> grpc.StatusCode:
    with contextlib.suppress(grpc.aio.AioRpcError):
        while await call.read() is not grpc.aio.EOF:
            pass
    return await call.code()


def test_the_edge_ends_with_a_front_end(keyed_pair):
    children = psutil.Process(keyed_pair.process.pid).children(recursive=True)
    next(child for child in children if MODULE in child.cmdline()).kill()
    assert keyed_pair.process.wait(30) == 1
    _, left = psutil.wait_procs(children, 10)
    assert not left
