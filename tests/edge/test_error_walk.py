"""The error table, walked: each fault over gRPC, gRPC-Web, REST and OpenAI's protocol, streamed and not."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2

from palaver_server.core.errors import Reason
from palaver_server.core.identity.issuing import create_key
from palaver_server.core.identity.key import Key
from palaver_server.core.identity.key_file import KeyFile
from palaver_server.core.identity.key_text import new_key_text
from tests.edge.conftest import ENDLESS, FAILING, LOADING, NARROW, Pair
from tests.edge.faults import (
    DEAD,
    DRAINING,
    FAULTS,
    FULL,
    GAVE_UP,
    GUESSING,
    KEY_EXPIRED,
    KEY_MALFORMED,
    KEY_MISSING,
    KEY_REVOKED,
    KEY_UNKNOWN,
    LATE,
    METHOD_NOT_ALLOWED,
    MODEL_NOT_ALLOWED,
    NOT_LOADED,
    NOT_WALKED,
    RATE_LIMITED,
    WALKED,
    Fault,
    said,
)
from tests.edge.walk import (
    CALLS,
    TRANSPORTS,
    Caller,
    caller,
    differences,
    from_status,
    json_content,
    over_rest,
    packed_request,
    typed_body,
    walk,
)

BUSY_TRIES = 10


def test_every_reason_is_walked_or_cannot_be_met():
    walked = {fault.reason for fault in WALKED}
    assert walked | set(NOT_WALKED) == set(Reason)
    assert not walked & set(NOT_WALKED)


async def test_every_fault_is_told_alike_over_every_protocol(pair):
    assert len(FAULTS) >= 40
    async with caller(pair) as via:
        assert await walk(via, FAULTS) == []
        # And the server serves on.
        assert (await via.http.post("/v1/chat/completions", json={"messages": [said()]})).status_code == 200


@contextlib.asynccontextmanager
async def occupied(pair: Pair) -> AsyncIterator[None]:
    """Hold the only place that there is."""
    async with pair.client() as client:
        body = {"messages": [said("word " * 2000)], "stream": True}
        async with client.stream("POST", "/v1/chat/completions", json=body) as held:
            chunks = held.aiter_bytes()  # kept: when it is collected, httpx closes the answer
            await anext(chunks)
            yield
            await chunks.aclose()


async def test_a_full_server_tells_when_to_come_again(shared_pair):
    pair = shared_pair(*NARROW)
    async with occupied(pair), caller(pair) as via:
        assert await walk(via, [FULL], waits=True) == []


async def test_a_loading_server_tells_when_to_come_again(shared_pair):
    async with caller(shared_pair(*LOADING, wait_for="edge listening")) as via:
        assert await walk(via, [NOT_LOADED], waits=True) == []


async def test_a_failure_in_the_middle_is_told_and_no_stream_just_ends(shared_pair):
    async with caller(shared_pair(*FAILING)) as via:
        assert await walk(via, [GAVE_UP], in_stream=True) == []


def new_key(state_dir: Path, **rights: Any) -> str:
    """A key's text; `palaver keys` is shown to do the same in test_keys.py."""
    record = {"client": "acme", "requests_per_minute": "unlimited", **rights}

    def make(key_id: str, now: datetime, secret: Any) -> Key:
        return Key.model_validate({"id": key_id, "created_at": now, "secrets": (secret,), **record})

    return create_key(KeyFile(state_dir / "keys.json"), make).text


def with_key(fault: Fault, text: str) -> Fault:
    return dataclasses.replace(fault, headers={"x-api-key": text})


async def test_every_refusal_of_a_key_is_told_alike_over_every_protocol(start_pair, tmp_path_factory):
    state_dir = tmp_path_factory.mktemp("s")
    then = datetime.now(UTC) - timedelta(hours=1)
    used_up = new_key(state_dir, requests_per_minute=1)
    faults = [
        KEY_MISSING,
        KEY_MALFORMED,
        with_key(KEY_UNKNOWN, new_key_text()),
        with_key(KEY_EXPIRED, new_key(state_dir, expires_at=then)),
        with_key(KEY_REVOKED, new_key(state_dir, revoked_at=then)),
        with_key(METHOD_NOT_ALLOWED, new_key(state_dir, methods=["palaver.v1.ChatService/CountTokens"])),
        with_key(MODEL_NOT_ALLOWED, new_key(state_dir, models=["another"])),
    ]
    async with caller(start_pair("--max-failed-attempts", "1000", state_dir=state_dir)) as via:
        assert await walk(via, faults) == []
        limited = with_key(RATE_LIMITED, used_up)
        answer = await via.http.post("/palaver/v1/chat", **json_content(typed_body(limited), limited))
        assert answer.status_code == 200
        assert await walk(via, [limited], waits=True) == []


async def test_whoever_guesses_keys_is_told_when_to_come_again(start_pair, tmp_path_factory):
    state_dir = tmp_path_factory.mktemp("s")
    new_key(state_dir)
    guess = with_key(GUESSING, new_key_text())
    async with caller(start_pair("--max-failed-attempts", "1", state_dir=state_dir)) as via:
        assert (await over_rest(via, guess, streamed=False)).reason == "KEY_UNKNOWN"
        assert await walk(via, [guess], waits=True) == []


async def acquainted(via: Caller) -> None:
    """Open connections for all calls of a walk at once: a draining pair soon takes no new ones."""
    await asyncio.gather(*(via.http.get("/health") for _ in CALLS), via.channel.channel_ready())


async def test_a_draining_server_tells_when_to_come_again(start_pair):
    pair = start_pair("--max-concurrent-requests", "1", "--scripted-first", "3600", "--grace", "600")
    async with occupied(pair), caller(pair) as via:
        await acquainted(via)
        pair.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(pair.event, "stopping")
        assert await walk(via, [DRAINING], waits=True) == []


async def test_an_engine_that_dies_is_told_and_no_stream_just_ends(start_pair):
    """Eight answers that run, and one death for all of them."""
    pair = start_pair("--scripted-tokens", "9", "--scripted-interval", "0.5", "--scripted-die-after", "8")
    async with caller(pair) as via:
        await acquainted(via)
        assert await walk(via, [DEAD], in_stream=True, waits=True) == []


async def test_too_little_time_is_told_before_any_work(pair):
    hasty = Fault("hasty", Reason.DEADLINE_TOO_SHORT, {"options": {"stop_before_deadline": True}})
    trailers: dict[str, bytes] = {}
    async with pair.channel() as channel:
        data = packed_request(hasty, streamed=False)
        # Where the machine stands still for a tenth of a second, gRPC itself ends the call, and says nothing more.
        for _ in range(BUSY_TRIES):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/palaver.v1.ChatService/Chat")(data, metadata=[("grpc-timeout", "100m")])
            trailers = dict(caught.value.trailing_metadata() or ())
            if "grpc-status-details-bin" in trailers:
                break
    told = from_status(status_pb2.Status.FromString(trailers["grpc-status-details-bin"]))
    assert differences(hasty, told) == []


async def test_a_deadline_in_the_middle_is_told(shared_pair):
    http = [(name, streamed) for name, streamed in CALLS if name in ("rest", "openai")]
    async with caller(shared_pair(*ENDLESS)) as via:
        for name, streamed in http:
            told = await TRANSPORTS[name](via, LATE, streamed=streamed)
            assert differences(LATE, told, in_stream=streamed) == []
