"""palaver asked for whole answers over gRPC: what a stream costs over that is the price of its messages.

The one piece of an answer comes at its end, so its time to the first token is that of the whole.
"""

from __future__ import annotations

import json
from time import perf_counter

import grpc

from palaver.v1 import chat_service_pb2
from tests.bench.clocks import Processes
from tests.bench.peers.palaver_grpc import CHANNEL_OPTIONS, CONNECTIONS, PalaverGrpc, chat_request
from tests.bench.peers.peer import Answer
from tests.bench.plan import Ask, Plan
from tests.bench.processes import Launcher

METHOD = "/palaver.v1.ChatService/Chat"


class UnaryClient:
    """Asks over several connections in turn."""

    def __init__(self, address: str, pid: int) -> None:
        self._channels = [grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) for _ in range(CONNECTIONS)]
        self._methods: list[grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]] = [
            channel.unary_unary(METHOD) for channel in self._channels
        ]
        self._asked_count = 0
        self._pid = pid

    async def answer(self, ask: Ask) -> Answer:
        """Ask on the next connection."""
        method = self._methods[self._asked_count % CONNECTIONS]
        self._asked_count += 1
        request = chat_request(ask).SerializeToString()
        began = perf_counter()
        message = await method(request)
        came_at = perf_counter()
        usage = chat_service_pb2.ChatResponse.FromString(message).usage
        return Answer(began, [came_at], usage.prompt_token_count, usage.output_token_count)

    def processes(self) -> Processes:
        """Who works for the answers."""
        return Processes.of(self._pid)

    async def close(self) -> None:
        """Close the connections."""
        for channel in self._channels:
            await channel.close()


class PalaverUnary:
    """Implements ``peer.Peer``."""

    engines = PalaverGrpc.engines

    async def start(self, plan: Plan, launcher: Launcher) -> str:
        """Start the server."""
        return await PalaverGrpc().start(plan, launcher)

    async def connect(self, plan: Plan, found: str) -> UnaryClient:
        """Open the connections."""
        return UnaryClient(**json.loads(found))


PEER = PalaverUnary()
