"""Whoever stops reading keeps no place: not after its key was revoked, not for ever, and not while the server stops."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, content_part_pb2, message_pb2, role_pb2
from palaver_server.core.identity.issuing import create_key, revoke_key
from palaver_server.core.identity.key import Key
from palaver_server.core.identity.key_file import KeyFile
from palaver_server.telemetry.metrics.calls import SLOW_READER_SECONDS
from tests.scrape import parse, scrape_text

MESSAGE = message_pb2.Message(role=role_pb2.ROLE_USER, content=[content_part_pb2.ContentPart(text="one two three")])
CHAT = chat_service_pb2.ChatRequest(messages=[MESSAGE])
STREAM = chat_service_pb2.StreamChatRequest(chat=CHAT, min_tokens_per_delta=1)
SMALL_WINDOWS = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1024)]
ENDLESS = {"scripted_tokens": 1_000_000, "scripted_interval": 0.0, "max_concurrent_requests": 1}
DIRECT, TRANSCODED = (), (("x-envoy-original-path", "/palaver/v1/chat:stream"),)


@asynccontextmanager
async def stuck_stream(server, metadata=(), seconds=None):
    """A stream whose server stands still, as its caller reads the first message alone."""
    async with grpc.aio.insecure_channel(server.address, options=SMALL_WINDOWS) as channel:
        call = chat_service_pb2_grpc.ChatServiceStub(channel).StreamChat(STREAM, metadata=metadata, timeout=seconds)
        assert (await call.read()).WhichOneof("event") == "started"
        yield call


async def until_free(server, *, seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while server.engine.running_count:
            await asyncio.sleep(0.02)


async def slow_readers_of_ended(server) -> float:
    """How many were counted, once a stream has ended."""
    async with asyncio.timeout(60):
        while True:
            seen = parse(await asyncio.to_thread(scrape_text, server.app.metrics_address, "text/plain"))
            if seen.of("palaver_call_duration_seconds_count", method="StreamChat"):
                return seen.of("palaver_slow_readers_total")
            await asyncio.sleep(0.02)


async def reason_of(call) -> str:
    """Read all that is left, and give the reason for which it ended."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        while await call.read() is not grpc.aio.EOF:
            pass
    return dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"].decode("latin-1")


@pytest.mark.parametrize("metadata", [DIRECT, TRANSCODED], ids=["direct", "transcoded"])
async def test_a_revoked_key_frees_the_place_of_a_reader_who_does_not_read(serve, tmp_path, metadata):
    key_file = KeyFile(tmp_path / "keys.json")

    def issue():
        return create_key(
            key_file,
            lambda key_id, now, secret: Key(
                id=key_id, client="acme", created_at=now, secrets=(secret,), requests_per_minute="unlimited"
            ),
        )

    stuck, other = issue(), issue()
    server = await serve(keys_file=key_file.path, **ENDLESS)
    async with stuck_stream(server, (*metadata, ("x-api-key", stuck.text))) as call:
        revoke_key(key_file, stuck.key.id)
        await until_free(server)
        stream = server.chat.StreamChat(STREAM, metadata=(("x-api-key", other.text),))
        assert (await stream.read()).WhichOneof("event") == "started"
        stream.cancel()
        assert "KEY_REVOKED" in await reason_of(call)


@pytest.mark.parametrize("metadata", [DIRECT, TRANSCODED], ids=["direct", "transcoded"])
async def test_a_reader_who_takes_nothing_for_too_long_is_told_so_when_it_reads_on(serve, metadata):
    server = await serve(slow_reader_timeout=1.0, **ENDLESS)
    async with stuck_stream(server, metadata) as call:
        await until_free(server)
        assert "READER_TOO_SLOW" in await reason_of(call)


async def test_a_stop_is_not_held_up_by_a_reader_who_does_not_read(serve):
    server = await serve(grace=600.0, **ENDLESS)
    async with stuck_stream(server):
        async with asyncio.timeout(60):
            assert await server.stop() == 0


@pytest.mark.parametrize("ends_by", ["the server", "its caller", "its deadline"])
async def test_a_reader_who_stood_still_is_counted_whatever_ended_the_stream(serve, ends_by):
    timeout = SLOW_READER_SECONDS if ends_by == "the server" else 600.0
    server = await serve(metrics_listen="127.0.0.1:0", slow_reader_timeout=timeout, **ENDLESS)
    deadline = 3 * SLOW_READER_SECONDS if ends_by == "its deadline" else None
    async with stuck_stream(server, seconds=deadline) as call:
        if ends_by == "its caller":
            await asyncio.sleep(3 * SLOW_READER_SECONDS)  # it must have stood still for longer than what counts
            call.cancel()
        assert await slow_readers_of_ended(server) == 1


async def test_a_reader_who_leaves_a_silent_engine_is_not_slow(serve):
    server = await serve(metrics_listen="127.0.0.1:0", scripted_tokens=1000, scripted_interval=600.0)
    stream = server.chat.StreamChat(STREAM, timeout=2 * SLOW_READER_SECONDS)
    assert (await stream.read()).WhichOneof("event") == "started"
    assert await slow_readers_of_ended(server) == 0
    stream.cancel()
