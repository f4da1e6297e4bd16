"""The run: so many callers at once, until so many calls have been made."""

from __future__ import annotations

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from time import perf_counter

import grpc

from palaver.v1.chat_service_pb2_grpc import ChatServiceStub
from tests.bench.clocks import CpuClock, Processes
from tests.bench.endurance.calls import Caller, Kind, TurnedAway, Unexplained
from tests.bench.endurance.report import Outcome, Results, results_of
from tests.bench.endurance.watch import Look, look

LOOKS = 100
"""In a run, evenly by the calls that have ended."""
CONNECTIONS = 4
MAX_UNEXPLAINED_SHOWN = 20


class Run:
    """One run against a server that is ready.

    Args:
        address: of the server.
        processes: its own.
        calls: in all.
        callers: at once; each makes a call when its last one has ended.
        seed: of what they do.
        done: is told after each call.
    """

    def __init__(
        self,
        address: str,
        processes: Processes,
        *,
        calls: int,
        callers: int,
        seed: int,
        done: Callable[[], None],
    ) -> None:
        self._processes = processes
        self._calls = calls
        self._callers = callers
        self._seed = seed
        self._done = done
        options = [("grpc.use_local_subchannel_pool", 1)]  # else the channels would share one connection
        self._channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(CONNECTIONS)]
        self._begun = 0
        self._ended = 0
        self._seconds: dict[Kind, list[float]] = defaultdict(list)
        self._turned_away = 0
        self._unexplained: Counter[str] = Counter()
        self._looks: list[Look] = []

    async def to_its_end(self) -> Results:
        """Make all calls."""
        server, client = CpuClock(self._processes.front_end), CpuClock([os.getpid()])
        before, began = (server.seconds(), client.seconds()), perf_counter()
        self._looks.append(look(self._processes, 0))
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._callers):
                    group.create_task(self._call_on(number))
        finally:
            await asyncio.gather(*(channel.close() for channel in self._channels))
        seconds = perf_counter() - began
        return results_of(
            seconds=seconds,
            outcomes=[Outcome.of(kind, self._seconds[kind]) for kind in Kind],
            all_seconds=self._answered_seconds(),
            turned_away=self._turned_away,
            unexplained=dict(self._unexplained.most_common(MAX_UNEXPLAINED_SHOWN)),
            unexplained_count=self._unexplained.total(),
            server_cpu_seconds=server.seconds() - before[0],
            client_cpu_seconds=client.seconds() - before[1],
            looks=self._looks,
        )

    async def _call_on(self, number: int) -> None:
        caller = Caller(ChatServiceStub(self._channels[number % CONNECTIONS]), self._seed * self._callers + number)
        while self._begun < self._calls:
            self._begun += 1
            await self._call(caller, caller.draw())
            self._ended += 1
            if self._ended * LOOKS // self._calls > (self._ended - 1) * LOOKS // self._calls:
                self._looks.append(await asyncio.to_thread(look, self._processes, self._ended))
            self._done()

    async def _call(self, caller: Caller, kind: Kind) -> None:
        """Make a call; whoever is turned away comes again when told to, and the time counts from the last try."""
        while True:
            began = perf_counter()
            try:
                await caller.make(kind)
            except TurnedAway as turned_away:
                self._turned_away += 1
                await asyncio.sleep(turned_away.seconds)
            except Unexplained as unexplained:
                self._unexplained[str(unexplained)] += 1
                return
            else:
                self._seconds[kind].append(perf_counter() - began)
                return

    def _answered_seconds(self) -> Sequence[float]:
        return [*self._seconds[Kind.UNARY], *self._seconds[Kind.STREAMED]]
