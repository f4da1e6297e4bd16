"""Spans through the real edge, as a real OTLP receiver gets them: below the caller's own, the model's work below."""

from __future__ import annotations

import asyncio
import os

import pytest

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, role_pb2
from tests.edge.agreement.test_vllm_agrees import FLAGS as VLLM
from tests.edge.agreement.test_vllm_agrees import START_SECONDS
from tests.edge.conftest import Pair, running_pair
from tests.telemetry.otlp import Receiver, receiving

REST = {"messages": [{"role": "ROLE_USER", "content": [{"text": "one two three"}]}]}
STEPS = ["queue", "prefill", "decode"]


def new_parent() -> tuple[bytes, bytes, dict[str, str]]:
    """A trace, a span of the caller's in it, and the header that tells of them (https://www.w3.org/TR/trace-context)."""
    trace, span = os.urandom(16), os.urandom(8)
    return trace, span, {"traceparent": f"00-{trace.hex()}-{span.hex()}-01"}


async def grpc_stream(pair: Pair, header: dict[str, str]) -> None:
    request = chat_service_pb2.StreamChatRequest()
    request.chat.messages.add(role=role_pb2.ROLE_USER).content.add(text="one two three")
    request.chat.options.max_output_tokens = 8
    async with pair.channel() as channel:
        stub = chat_service_pb2_grpc.ChatServiceStub(channel)
        async for _ in stub.StreamChat(request, metadata=tuple(header.items())):
            pass


async def rest(pair: Pair, header: dict[str, str]) -> None:
    async with pair.client() as client:
        body = {**REST, "options": {"max_output_tokens": 8}}
        answer = await client.post("/palaver/v1/chat", json=body, headers=header)
        assert answer.status_code == 200, answer.text


async def spans_of_calls(receiver: Receiver, *flags: str, seconds: float = 60) -> None:
    """Call through a pair, and look at each trace by itself."""
    with running_pair(*flags, "--otlp-endpoint", receiver.endpoint, wait_for="") as pair:
        await asyncio.to_thread(pair.event, "ready", seconds)
        parents = []
        for call in (grpc_stream, rest):
            trace, span, header = new_parent()
            parents.append((trace, span))
            await call(pair, header)
        assert await asyncio.to_thread(pair.stop, 60) == 0
    for trace, span in parents:
        spans = [one for one in receiver.spans if one.trace_id == trace]
        (server,) = [one for one in spans if one.parent_span_id == span]
        assert server.kind == server.SPAN_KIND_SERVER
        (chat,) = [one for one in spans if one.parent_span_id == server.span_id]
        steps = [one for one in spans if one.parent_span_id == chat.span_id]
        steps.sort(key=lambda one: (one.start_time_unix_nano, one.end_time_unix_nano))
        assert [one.name for one in steps] == STEPS
        moments = [chat.start_time_unix_nano - 1000]
        for one in steps:
            moments += [one.start_time_unix_nano, one.end_time_unix_nano]
        assert moments == sorted(moments)
        assert moments[-1] <= server.end_time_unix_nano
        assert steps[-1].end_time_unix_nano > steps[-1].start_time_unix_nano, "eight tokens take time"
        assert len(spans) == 2 + len(STEPS)


async def test_the_edge_passes_on_whose_span_a_call_is():
    async with receiving() as receiver:
        await spans_of_calls(receiver, "--scripted-interval", "0.01")


@pytest.mark.thorough
@pytest.mark.timeout(300)
async def test_the_steps_are_the_real_engines_own():
    async with receiving() as receiver:
        await spans_of_calls(receiver, *VLLM, seconds=START_SECONDS)
