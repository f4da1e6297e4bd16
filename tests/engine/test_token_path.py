"""What a token costs between vLLM and the wire, counted and not timed: calls of our own code, messages, memory.

A wrapper around the stream, a second queue, a look-up a token: each shows here at once, on a machine of any speed.
"""

from __future__ import annotations

import asyncio
import cProfile
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
import pytest_asyncio

import palaver_server
from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc
from palaver_server.core.admission import Admission
from palaver_server.core.chat import Chat
from palaver_server.core.events import Started
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.identity.door import Door
from palaver_server.core.identity.registry import KeyRegistry
from palaver_server.core.limits.failed_attempts import FailedAttempts
from palaver_server.core.loading import Loading
from palaver_server.core.model import ModelDescription
from palaver_server.core.readiness import Readiness
from palaver_server.rpc.entrance import Entrance
from palaver_server.rpc.server import RpcServer
from palaver_server.rpc.transport import ServerLimits
from tests.engine.test_reading import Reader

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

OUR_CODE = str(Path(palaver_server.__file__).parent)
FEW, MANY = 200, 1200
WARM_UP = 50
CALLS_PER_TOKEN = {"plain": 14, "parsed": 17}
"""Of our own functions, for one output that becomes one message: a coroutine or generator resumed in each
layer, a look whether the call shall end, what makes the delta and the message, and the reading of what woke the event
loop when that was sent, which many streams have in common."""
ALL_CALLS_PER_TOKEN = 80
"""With asyncio's, grpcio's and the source's; they differ a little from run to run."""
BLOCKS_PER_TOKEN = 0.2
"""Memory blocks that are kept for a token: none, but for what moves elsewhere meanwhile."""


class Engine:
    """Everything of the real one but AsyncLLM, in whose place outputs are made of thin air."""

    def __init__(self, tokenizer: Any, kind: str) -> None:
        from palaver_server.engine.vllm.answer.generations import Generations  # noqa: PLC0415
        from palaver_server.engine.vllm.answer.pulse import Pulse  # noqa: PLC0415

        self.description = ModelDescription("test", context_length=100_000)
        self._reader = Reader(tokenizer)
        self._token_ids = tokenizer.encode(" word", add_special_tokens=False)[-1:]
        self.kind = kind
        requests = SimpleNamespace(abort_requests=lambda *_: [])
        llm: Any = SimpleNamespace(add_request=self._add, errored=False, output_processor=requests)
        self._generations = Generations(llm, Pulse())
        self.blocks: list[int] = []

    async def prepare(self, request: GenerationRequest) -> Any:
        from vllm.sampling_params import RequestOutputKind, SamplingParams  # noqa: PLC0415

        from palaver_server.engine.vllm.answer.delta_stage import DeltaStage  # noqa: PLC0415
        from palaver_server.engine.vllm.prompt.vllm_prompt import VllmPrompt  # noqa: PLC0415

        count = request.options.max_output_tokens or 0
        engine_input: Any = {"prompt_token_ids": [5, 6, 7]}
        return VllmPrompt(
            request=request,
            options=request.options,
            engine_input=engine_input,
            params=SamplingParams(max_tokens=count, output_kind=RequestOutputKind.DELTA),
            hints={},
            started=Started(3, count),
            new_stage=(lambda _: self._reader.stage()) if self.kind == "parsed" else DeltaStage,
            convert_prompt_logprobs=lambda _: (),
            ends_at=None,
        )

    def generate(self, prompt: Any) -> AsyncGenerator[Any, None]:
        return self._generations.run(prompt)

    async def _add(self, request_id: str, _prompt: Any, params: Any, **_: Any) -> Any:
        from vllm.outputs import CompletionOutput, RequestOutput  # noqa: PLC0415

        from palaver_server.engine.vllm.answer.collector import Collector  # noqa: PLC0415

        self.blocks.clear()
        numbers = iter(range(1, params.max_tokens + 1))

        class Source(Collector):
            """Is given the next output in the moment in which it is asked."""

            async def get(source) -> Any:  # noqa: N805  # the other self is asked
                number = next(numbers)
                if number in (FEW, MANY - 1):
                    self.blocks.append(sys.getallocatedblocks())
                if 1 < number < params.max_tokens:
                    source.add(" word", list(self._token_ids))
                else:
                    reason = "length" if number == params.max_tokens else None
                    completion = CompletionOutput(0, " word", self._token_ids, None, None, finish_reason=reason)
                    source.put(RequestOutput(request_id, None, [5, 6, 7], None, [completion], finished=bool(reason)))
                return await super().get()

        return Source(params.output_kind, request_id)


class Way:
    """A server in this thread, and a client in others, which count as nobody's."""

    def __init__(self, engine: Engine, address: str) -> None:
        self.engine = engine
        self._address = address

    async def messages(self, tokens: int) -> int:
        """Ask for an answer, and count its messages."""
        return await asyncio.to_thread(self._read, tokens)

    async def calls(self, tokens: int) -> tuple[int, int]:
        """Ask, and count the calls in this thread meanwhile: ours and all."""
        profile = cProfile.Profile()
        profile.enable()
        try:
            await self.messages(tokens)
        finally:
            profile.disable()
        stats = profile.getstats()
        ours = sum(
            entry.callcount
            for entry in stats
            if not isinstance(entry.code, str) and entry.code.co_filename.startswith(OUR_CODE)
        )
        return ours, sum(entry.callcount for entry in stats)

    def _read(self, tokens: int) -> int:
        request = chat_service_pb2.StreamChatRequest()
        request.chat.messages.add(role="ROLE_USER").content.add(text="Hi")
        request.chat.options.max_output_tokens = tokens
        with grpc.insecure_channel(self._address) as channel:
            return sum(1 for _ in chat_service_pb2_grpc.ChatServiceStub(channel).StreamChat(request))


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["plain", "parsed"])
async def way(request: pytest.FixtureRequest, tokenizer: Any) -> AsyncIterator[Way]:
    engine: Any = Engine(tokenizer, request.param)
    readiness, loading = Readiness(), Loading()
    server = RpcServer(
        Chat(engine, Admission(max_concurrent=8, max_queued=8), readiness, loading, slow_reader_seconds=30.0),
        readiness,
        loading,
        entrance=Entrance(Door(KeyRegistry(), FailedAttempts(1)), None),
        edge_entrance=None,
        limits=ServerLimits(),
        tls=None,
        max_health_watches=8,
        event_stream_keepalive_seconds=15.0,
    )
    way = Way(engine, await server.start("127.0.0.1:0"))
    await way.messages(WARM_UP)
    yield way
    await server.stop()


async def test_a_token_takes_so_many_calls_and_no_more(way: Way) -> None:
    few, many = await way.calls(FEW), await way.calls(MANY)

    ours, all_of_them = ((one - other) / (MANY - FEW) for one, other in zip(many, few, strict=True))
    assert ours <= CALLS_PER_TOKEN[way.engine.kind] + 0.1
    assert all_of_them <= ALL_CALLS_PER_TOKEN


async def test_an_output_becomes_one_message(way: Way) -> None:
    assert await way.messages(FEW) == FEW + len(["started", "finished"])


async def test_nothing_is_kept_of_a_token_that_was_sent(way: Way) -> None:
    await way.messages(MANY)
    early, late = way.engine.blocks

    assert (late - early) / (MANY - FEW) < BLOCKS_PER_TOKEN
