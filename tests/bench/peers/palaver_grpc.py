"""palaver, as its users meet it: the server's own command, asked over gRPC."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from time import perf_counter

import grpc

from palaver.v1 import chat_service_pb2, generation_options_pb2, message_pb2, role_pb2
from palaver.v1.content_part_pb2 import ContentPart
from tests.bench.clocks import Processes
from tests.bench.peers.peer import Answer
from tests.bench.plan import MAX_STREAMS, Ask, Plan
from tests.bench.processes import Launcher

METHOD = "/palaver.v1.ChatService/StreamChat"
CONNECTIONS = 4
"""Streams share connections, as they do behind a proxy; all on one would queue behind one another's frames."""


CHANNEL_OPTIONS = [("grpc.use_local_subchannel_pool", 1)]
"""Else the channels would share one connection."""


class PalaverClient:
    """Reads messages as bytes: what a client makes of them is not the server's cost, and would burden the cores."""

    def __init__(self, channels: Sequence[grpc.aio.Channel], processes: Processes) -> None:
        self._channels = channels
        self._methods: list[grpc.aio.UnaryStreamMultiCallable[bytes, bytes]] = [
            channel.unary_stream(METHOD) for channel in self._channels
        ]
        self._asked_count = 0
        self._processes = processes

    async def answer(self, ask: Ask) -> Answer:
        """Ask on the next connection."""
        method = self._methods[self._asked_count % len(self._methods)]
        self._asked_count += 1
        request = stream_request(ask).SerializeToString()
        began = perf_counter()
        messages, times = [], []
        async for message in method(request):
            times.append(perf_counter())
            messages.append(message)
        # The contract: the first event is `started`, the last is `finished`, all between them are text.
        started = chat_service_pb2.StreamChatResponse.FromString(messages[0]).started
        usage = chat_service_pb2.StreamChatResponse.FromString(messages[-1]).finished.usage
        return Answer(began, times[1:-1], started.prompt_token_count, usage.output_token_count)

    def processes(self) -> Processes:
        """Who works for the answers."""
        return self._processes

    async def close(self) -> None:
        """Close the connections."""
        for channel in self._channels:
            await channel.close()


class PalaverGrpc:
    """Implements ``peer.Peer``."""

    engines = ("vllm", "scripted")
    connections = CONNECTIONS

    async def start(self, plan: Plan, launcher: Launcher) -> str:
        """Start the server."""
        return await self.start_with(plan, launcher)

    async def start_with(self, plan: Plan, launcher: Launcher, *flags: str) -> str:
        """Start the server with more flags."""
        command = [*server_command(plan, "serve"), "--listen", "127.0.0.1:0", *flags]
        address, pid = await start_server(launcher, command)
        return json.dumps({"address": address, "pid": pid})

    async def connect(self, plan: Plan, found: str) -> PalaverClient:
        """Open the connections."""
        address, pid = json.loads(found).values()
        channels = [grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) for _ in range(self.connections)]
        return PalaverClient(channels, Processes.of(pid))


PEER = PalaverGrpc()


async def start_server(launcher: Launcher, command: Sequence[str]) -> tuple[str, int]:
    """Start a server and wait for its model; its address and its process."""
    server = await launcher.start("palaver", command)
    listening = await server.line_with("Listening on ")
    await server.line_with("Ready after ")
    return listening.split()[2].rstrip(";"), server.pid


def server_command(plan: Plan, verb: str) -> list[str]:
    """The server's command with all that its ports have nothing to do with."""
    command = [sys.executable, "-m", "palaver_server", verb, "--log-format", "json"]
    command += ["--max-concurrent-requests", str(MAX_STREAMS), "--max-queued-requests", str(MAX_STREAMS)]
    if plan.engine == "vllm":
        return [*command, "--model", plan.model, *plan.engine_flags]
    return [*command, "--engine", "scripted", "--scripted-tokens", str(plan.longest_answer)]


def chat_request(ask: Ask) -> chat_service_pb2.ChatRequest:
    """The question in the contract's words."""
    return chat_service_pb2.ChatRequest(
        messages=[
            message_pb2.Message(role=role_pb2.Role.Value(f"ROLE_{role.upper()}"), content=[ContentPart(text=text)])
            for role, text in ask.conversation
        ],
        options=generation_options_pb2.GenerationOptions(
            temperature=0.0, max_output_tokens=ask.max_output_tokens, ignore_eos=ask.ignores_end or None
        ),
    )


def stream_request(ask: Ask) -> chat_service_pb2.StreamChatRequest:
    """The question, to be answered piece by piece."""
    return chat_service_pb2.StreamChatRequest(chat=chat_request(ask))
