"""palaver through its Envoy sidecar, asked as REST: Envoy makes gRPC of JSON, and server-sent events of messages."""

from __future__ import annotations

import aiohttp
from google.protobuf import json_format

from tests.bench.clocks import Processes
from tests.bench.peers import edge, sse
from tests.bench.peers.palaver_grpc import chat_request
from tests.bench.peers.peer import Answer
from tests.bench.plan import Ask, Plan
from tests.bench.processes import Launcher

PATH = "/palaver/v1/chat:stream"


class RestClient:
    """Asks the edge."""

    def __init__(self, session: aiohttp.ClientSession, running: edge.Edge) -> None:
        self._session = session
        self._running = running

    async def answer(self, ask: Ask) -> Answer:
        """Ask for one stream."""
        body = json_format.MessageToDict(chat_request(ask), preserving_proto_field_name=True)
        began, pieces = await sse.ask(self._session, self._running.url + PATH, body)
        (_, first), *between, (_, last) = sse.events(pieces)
        times = [came_at for came_at, event in between if event.get("delta")]
        usage = last["finished"]["usage"]
        return Answer(began, times, first["started"]["prompt_token_count"], usage["output_token_count"])

    def processes(self) -> Processes:
        """Server and Envoy are the front end."""
        return self._running.processes()

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


class EdgeRest:
    """Implements ``peer.Peer``."""

    engines = ("vllm", "scripted")

    async def start(self, plan: Plan, launcher: Launcher) -> str:
        """Start server and Envoy."""
        return await edge.start(plan, launcher)

    async def connect(self, plan: Plan, found: str) -> RestClient:
        """Open a pool of connections."""
        running = edge.found(found)
        return RestClient(running.session(), running)


PEER = EdgeRest()
