"""A mix of calls with every fate that a call can have."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

from palaver_server.core.identity.key_text import new_key_text
from tests.edge.agreement.calls import DIRECT, GRPC, WAYS, Ask, Caller, Seen
from tests.edge.conftest import Pair
from tests.edge.test_keys import keys
from tests.scrape import scrape

ROOM = len(WAYS)
"""Calls that run at the same time: with one of each way the server is full."""
AT_ONCE = ROOM - 2
FAIL_AFTER = 300
INTERVAL = 0.01
LONG = "word " * (2 * FAIL_AFTER)
"""An answer of so many words does not come to its end."""
DEADLINE_SECONDS = 1.0
FLAGS = (
    *("--max-concurrent-requests", str(ROOM), "--max-queued-requests", "0", "--metrics-listen", "127.0.0.1:0"),
    *("--log-repeat-limit", "0"),  # else many failures alike are one line
    *("--scripted-interval", str(INTERVAL), "--scripted-fail-after", str(FAIL_AFTER)),
)


@contextlib.asynccontextmanager
async def caller_of(pair: Pair, default_model: str = "scripted") -> AsyncIterator[Caller]:
    """Someone who calls a pair by every protocol."""
    async with pair.client() as http, pair.channel() as channel, pair.direct_channel() as direct:
        yield Caller(pair, http, channel, direct, default_model)


class Keys:
    """The keys of one state folder."""

    def __init__(self, state_dir: Path) -> None:
        self.free = keys(state_dir, "create", "--client", "alice", "--requests-per-minute", "unlimited")
        self.limited = keys(state_dir, "create", "--client", "bob", "--requests-per-minute", "1")
        self.unknown = new_key_text()


async def make_round(caller: Caller, key: Keys) -> None:
    """Call a hundred times and more: every fate by every way that has it."""
    edge_ways = [way for way in WAYS if way[0] != DIRECT]
    calls = [
        *(caller.call(way, Ask(key=key.free)) for way in WAYS * 3),
        *(caller.call(way, Ask(key=key.free, temperature=3)) for way in WAYS),
        *(caller.call(way, Ask(key=key.free, model="another")) for way in WAYS),
        *(caller.call(way, Ask(key=key.free, text=LONG)) for way in WAYS),
        *(caller.call(way, Ask(key=key.limited)) for way in WAYS),
        *(caller.call(way, Ask()) for way in edge_ways),
        *(caller.call(way, Ask(key=key.unknown)) for way in WAYS),
        *(
            caller.call(way, Ask(key=key.free, text=LONG, seconds=DEADLINE_SECONDS))
            for way in WAYS
            if way[0] in (GRPC, DIRECT)
        ),
        *(caller.wrong_path() for _ in range(2)),
    ]
    places = asyncio.Semaphore(AT_ONCE)

    async def in_turn(call: Awaitable[Seen]) -> None:
        async with places:
            await call

    await asyncio.gather(*(in_turn(call) for call in calls))
    await fill_and_leave(caller, key)


async def fill_and_leave(caller: Caller, key: Keys) -> None:
    """Take every place, be refused by every way, and leave."""
    address = metrics_address(caller.pair)
    staying = [asyncio.create_task(caller.call(way, Ask(key=key.free, text=LONG))) for way in WAYS]
    await until_running(address, ROOM)
    await asyncio.gather(*(caller.call(way, Ask(key=key.free)) for way in WAYS))
    for task in staying:
        task.cancel()
    await asyncio.gather(*staying)
    await until_running(address, 0)


async def until_running(address: str, count: int) -> None:
    async with asyncio.timeout(30):
        while (await asyncio.to_thread(scrape, address)).of("palaver_running_calls") != count:
            await asyncio.sleep(0.02)


def metrics_address(pair: Pair) -> str:
    return str(pair.event("metrics port")["address"])
