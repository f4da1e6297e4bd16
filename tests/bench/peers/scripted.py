"""The scripted engine and a loop over its events: what no transport can better.

It needs no model, so it measures palaver's own path in seconds; its figures say nothing about serving a model.
"""

from __future__ import annotations

import itertools
import os
from time import perf_counter

from palaver_server.core.conversation import Message, Role, TextPart
from palaver_server.core.events import Delta, Finished
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.options import GenerationOptions
from palaver_server.engine.scripted.behaviour import ScriptedBehaviour
from palaver_server.engine.scripted.engine import ScriptedEngine
from tests.bench.burner import Burner
from tests.bench.clocks import Processes
from tests.bench.peers.peer import Answer
from tests.bench.plan import Ask, Plan
from tests.bench.processes import Launcher


class ScriptedClient:
    """The loop."""

    def __init__(self, engine: ScriptedEngine, burner: Burner) -> None:
        self._engine = engine
        self._burner = burner
        self._serial = itertools.count()

    async def answer(self, ask: Ask) -> Answer:
        """Run the request through the engine."""
        owe, times = self._burner.owe, []
        began = perf_counter()
        request = GenerationRequest(
            request_id=str(next(self._serial)),
            model="",
            messages=tuple(Message(Role(role), (TextPart(text),)) for role, text in ask.conversation),
            options=GenerationOptions(max_output_tokens=ask.max_output_tokens, temperature=0.0),
            is_streamed=True,
        )
        async for event in self._engine.generate(await self._engine.prepare(request)):
            if isinstance(event, Delta):
                times.append(perf_counter())
                owe(event.token_count * ask.client_seconds_per_token)
            elif isinstance(event, Finished):
                usage = event.usage
        return Answer(began, times, usage.prompt_token_count, usage.output_token_count)

    def processes(self) -> Processes:
        """This process is the engine, and the front end as well."""
        return Processes((os.getpid(),), (), (self._burner.pid,))

    async def close(self) -> None:
        """End the engine."""
        await self._engine.shutdown()
        self._burner.close()


class Scripted:
    """Implements ``peer.Peer``."""

    engines = ("scripted",)

    async def start(self, plan: Plan, launcher: Launcher) -> str:
        """Nothing stands between the load process and the engine."""
        return ""

    async def connect(self, plan: Plan, found: str) -> ScriptedClient:
        """Load the engine in this process."""
        engine = ScriptedEngine(ScriptedBehaviour(tokens=plan.longest_answer))
        await engine.load(lambda _: None)
        return ScriptedClient(engine, Burner())


PEER = Scripted()
