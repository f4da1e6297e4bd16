"""Requests per minute through the real edge and beside it: one count for every way to the server, exact to the call."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import grpc
import psutil
import pytest
from google.rpc import error_details_pb2, status_pb2

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, role_pb2
from palaver_server.core.identity.key_text import new_key_text
from tests.edge import conftest

TIERS = {"PALAVER_TIERS": json.dumps({"gold": {"requests_per_minute": 240}})}
REST = {"messages": [{"role": "ROLE_USER", "content": [{"text": "one"}]}]}
ROOM_BYTES = 24 * 1024 * 1024
"""What allocators may keep of a burst of calls; a record of each invented key would be more in the long run."""


def keys(state_dir: Path, *arguments: str) -> str:
    return conftest.keys(state_dir, *arguments, env=TIERS)


def count_request() -> chat_service_pb2.CountTokensRequest:
    count = chat_service_pb2.CountTokensRequest()
    count.chat.messages.add(role=role_pb2.ROLE_USER).content.add(text="one")
    return count


@dataclass
class Ways:
    """Every way to call, with one key; each gives None when let in, else the seconds to wait."""

    client: object
    channel: grpc.aio.Channel
    direct: grpc.aio.Channel
    key: str
    sent: list[float] = field(default_factory=list)
    """When each call began."""
    done: list[tuple[float, bool]] = field(default_factory=list)
    """When each call ended, and whether it was let in."""

    async def call(self, way: int) -> float | None:
        self.sent.append(time.monotonic())
        waits = await (self._rest, self._openai, self._grpc, self._direct)[way % 4]()
        self.done.append((time.monotonic(), waits is None))
        return waits

    async def _rest(self) -> float | None:
        headers = {"x-api-key": self.key}
        return _http_wait(await self.client.post("/palaver/v1/chat:countTokens", json=REST, headers=headers))

    async def _openai(self) -> float | None:
        return _http_wait(await self.client.get("/v1/models", headers={"authorization": f"Bearer {self.key}"}))

    async def _grpc(self) -> float | None:
        return await self._count(self.channel)

    async def _direct(self) -> float | None:
        return await self._count(self.direct)

    async def _count(self, channel: grpc.aio.Channel) -> float | None:
        call = chat_service_pb2_grpc.ChatServiceStub(channel).CountTokens(
            count_request(), metadata=(("x-api-key", self.key),)
        )
        if await call.code() is grpc.StatusCode.OK:
            return None
        assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        status = status_pb2.Status.FromString(dict(await call.trailing_metadata())["grpc-status-details-bin"])
        details = {detail.type_url.rpartition(".")[2]: detail for detail in status.details}
        assert {"ErrorInfo", "QuotaFailure", "RetryInfo"} <= set(details)
        retry = error_details_pb2.RetryInfo()
        assert details["RetryInfo"].Unpack(retry)
        assert int(dict(await call.trailing_metadata())["retry-after"]) >= 1
        return retry.retry_delay.ToTimedelta().total_seconds()

    @property
    def let_in(self) -> int:
        return sum(is_let_in for _, is_let_in in self.done)

    def must_be(self, rate: int) -> tuple[float, float]:
        """Fewest and most calls that burst and rate allow between the first call and the last.

        Where nobody was refused, a slow machine asked for fewer than there were.
        """
        longest = max(end for end, _ in self.done) - min(self.sent)
        shortest = max(self.sent) - min(end for end, _ in self.done)
        fewest = len(self.done) if self.let_in == len(self.done) else rate + rate * shortest / 60 - 1
        return fewest, rate + rate * longest / 60


def _http_wait(answer) -> float | None:
    assert int(answer.headers["x-ratelimit-limit"]) in (60, 240)
    if answer.status_code == 200:
        return None
    assert answer.status_code == 429, answer.text
    body = answer.json()
    reason = body["error"]["code"] if "error" in body else body["details"][0]["reason"]
    assert reason in ("rate_limit_exceeded", "RATE_LIMITED")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["x-ratelimit-remaining"] == "0"
    return float(answer.headers["retry-after-ms"]) / 1000


async def _hammer(ways: Ways, until: float, worker: int) -> None:
    way = worker
    while time.monotonic() < until:
        await ways.call(way)
        way += 1
        await asyncio.sleep(0.05)


async def _invent(client, channel, count: int) -> None:
    for number in range(count):
        if number % 2:
            assert (await client.get("/v1/models", headers={"x-api-key": new_key_text()})).status_code in (401, 429)
        else:
            stub = chat_service_pb2_grpc.ChatServiceStub(channel)
            code = await stub.CountTokens(count_request(), metadata=(("x-api-key", new_key_text()),)).code()
            assert code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED)


@pytest.mark.parametrize(
    ("seconds", "invented"),
    [(8, 500), pytest.param(120, 10_000, marks=[pytest.mark.thorough, pytest.mark.timeout(400)])],
)
async def test_two_tiers_get_exactly_their_burst_and_rate_by_every_way_together(
    start_pair, tmp_path_factory, seconds, invented
):
    state_dir = tmp_path_factory.mktemp("s")
    texts = {60: keys(state_dir, "create", "--client", "plain")}
    texts[240] = keys(state_dir, "create", "--client", "golden", "--tier", "gold")
    pair = start_pair(state_dir=state_dir, **TIERS)
    async with pair.client() as client, pair.channel() as channel, pair.direct_channel() as direct:
        await _invent(client, channel, 100)  # everything is warm
        family = [psutil.Process(pair.process.pid), pair.envoy()]
        before = [process.memory_info().rss for process in family]
        ways = {rate: Ways(client, channel, direct, text) for rate, text in texts.items()}
        until = time.monotonic() + seconds
        await asyncio.gather(
            *(_hammer(one, until, worker) for one in ways.values() for worker in range(4)),
            *(_invent(client, channel, invented // 4) for _ in range(4)),
            _edit_keys(state_dir, until),
        )
        for rate, one in ways.items():
            fewest, most = one.must_be(rate)
            assert fewest <= one.let_in <= most, (rate, one.let_in)
        grown = [process.memory_info().rss - size for process, size in zip(family, before, strict=True)]
        assert max(grown) < ROOM_BYTES, grown


async def _edit_keys(state_dir: Path, until: float) -> None:
    """Other keys come and go meanwhile: nobody's count begins anew."""
    while time.monotonic() < until - 3:
        await asyncio.to_thread(keys, state_dir, "create", "--client", "other")
        await asyncio.sleep(1)


async def test_whoever_waits_as_told_is_let_in(start_pair, tmp_path_factory):
    state_dir = tmp_path_factory.mktemp("s")
    text = keys(state_dir, "create", "--client", "plain")
    pair = start_pair(state_dir=state_dir, **TIERS)
    async with pair.client() as client, pair.channel() as channel, pair.direct_channel() as direct:
        ways = Ways(client, channel, direct, text)
        while await ways.call(ways.let_in) is None:
            pass
        told = await asyncio.gather(*(ways.call(way) for way in range(6)))
        waits = sorted(wait for wait in told if wait is not None)
        assert len(waits) >= 5
        assert all(later - sooner > 0.5 for sooner, later in pairwise(waits)), "each has a second of their own"

        async def come_again(way: int) -> float | None:
            await asyncio.sleep(told[way] or 0)
            return None if told[way] is None else await ways.call(way)

        assert await asyncio.gather(*(come_again(way) for way in range(6))) == [None] * 6
