"""Several processes in front of one engine: one server to its callers, its operator and whoever kills a part of it."""

from __future__ import annotations

import asyncio
import signal
from functools import partial

import grpc
import psutil
import pytest

from palaver.v1 import chat_service_pb2_grpc
from tests.lifecycle.conftest import Reader, stream_request
from tests.lifecycle.several import CALLERS, FRONT_ENDS, begun, start_several
from tests.lifecycle.test_killing import all_gone
from tests.scrape import scrape

SLOW = ("--scripted-tokens", "40", "--scripted-interval", "0.05")
ENDLESS = ("--scripted-tokens", "100000", "--scripted-interval", "0.02")


@pytest.fixture
def start(start_server):
    return partial(start_several, start_server)


async def test_callers_are_dealt_to_all_and_one_scrape_tells_of_all(start):
    server = await start(*SLOW, "--max-concurrent-requests", "31", "--max-queued-requests", "32")
    metrics = server.events("metrics port")[0]["address"]
    async with server.channels() as channels:
        readers = await begun(channels)
        assert (await asyncio.to_thread(scrape, metrics)).of("palaver_running_calls") == CALLERS
        assert [await reader.task for reader in readers] == [None] * CALLERS
        assert {len(reader.text.split()) for reader in readers} == {40}
    async with asyncio.timeout(10):
        while server.calls_by_process().total() < CALLERS:
            await asyncio.sleep(0.01)
    assert set(server.calls_by_process()) == set(range(FRONT_ENDS))
    told = await asyncio.to_thread(scrape, metrics)
    assert told.of("palaver_calls_total", method="StreamChat", code="OK") == CALLERS
    assert told.of("palaver_tokens_total", type="output") == CALLERS * 40
    assert told.of("palaver_call_duration_seconds_count", method="StreamChat") == CALLERS
    assert told.of("palaver_max_running_calls") == 31
    assert told.of("palaver_max_waiting_calls") == 32
    assert told.of("palaver_ready") == 1
    together = sum(process.memory_info().rss for process in [psutil.Process(server.process.pid), *server.others()])
    assert told.of("palaver_resident_memory_bytes", process="server") == pytest.approx(together, rel=0.2)


@pytest.mark.parametrize("how", ["SIGTERM", "SIGTERM to every process"])
async def test_a_stop_drains_all_of_them(how, start):
    server = await start(*SLOW)
    family = server.server.processes()
    async with server.channels() as channels:
        readers = await begun(channels)
        for process in family if how == "SIGTERM to every process" else family[:1]:
            process.send_signal(signal.SIGTERM)
        assert [await reader.task for reader in readers] == [None] * CALLERS
        assert {reader.events[-1] for reader in readers} == {"finished"}
    assert await asyncio.wait_for(server.process.wait(), 30) == 0
    assert {line.get("front_end", 0) for line in server.events("stopping")} == set(range(FRONT_ENDS))
    await all_gone(family, 1)


async def test_what_a_process_has_counted_and_not_told_is_told_at_its_end(start):
    server = await start(*SLOW, "--log-repeat-limit", "1")
    async with server.channels() as channels:
        for _ in range(2):
            await asyncio.gather(*(refused(channel) for channel in channels))
    server.process.terminate()
    assert await asyncio.wait_for(server.process.wait(), 30) == 0
    told = {line.get("front_end", 0): line["repeated"] for line in server.events("call") if "repeated" in line}
    assert set(told) == set(range(FRONT_ENDS))
    assert sum(told.values()) == 2 * CALLERS - FRONT_ENDS


async def refused(channel: grpc.aio.Channel) -> None:
    request = stream_request().chat
    request.model = "another"
    with pytest.raises(grpc.aio.AioRpcError):
        await chat_service_pb2_grpc.ChatServiceStub(channel).Chat(request)


async def test_streams_that_outlast_the_grace_end_with_a_status_in_every_process(start):
    server = await start(*ENDLESS, "--grace", "0.5")
    family = server.server.processes()
    async with server.channels() as channels:
        readers = await begun(channels)
        server.process.terminate()
        errors = [await reader.task for reader in readers]
        assert {error and error.code() for error in errors} == {grpc.StatusCode.UNAVAILABLE}
    assert await asyncio.wait_for(server.process.wait(), 30) == 0
    await all_gone(family, 1)


async def test_where_one_dies_the_others_end_their_answers_and_the_server_exits(start):
    server = await start(*SLOW)
    family = server.server.processes()
    async with server.channels() as channels:
        readers = await begun(channels)
        server.others()[0].kill()
        errors = [await reader.task for reader in readers]
        lost = [error for error in errors if error is not None]
        assert 0 < len(lost) < CALLERS
        assert {error.code() for error in lost} == {grpc.StatusCode.UNAVAILABLE}
        assert {reader.events[-1] for reader in readers if reader.task.result() is None} == {"finished"}
    assert await asyncio.wait_for(server.process.wait(), 30) == 1
    assert "front end 1 was killed by SIGKILL" in server.events("a front end failed")[0]["cause"]
    await all_gone(family, 1)


async def test_none_outlives_the_first(start):
    server = await start(*ENDLESS)
    family = server.server.processes()
    server.process.kill()
    await server.process.wait()
    await all_gone(family)


async def test_two_signals_end_all_at_once(start):
    server = await start(*ENDLESS, "--grace", "300")
    family = server.server.processes()
    async with server.channels() as channels:
        await begun(channels)
        server.process.terminate()
        await server.server.said('"stopping"')
        server.process.terminate()
        assert await asyncio.wait_for(server.process.wait(), 10) == 130
    await all_gone(family)


async def test_a_death_of_an_engine_ends_all(start):
    server = await start("--scripted-tokens", "9", "--scripted-die-after", "3")
    family = server.server.processes()
    async with server.channels(1) as channels:
        error = await Reader(channels[0]).task
        assert error is not None
        assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert await asyncio.wait_for(server.process.wait(), 30) == 1
    await all_gone(family, 1)


async def test_a_load_that_fails_ends_all(start_server):
    server = await start_server(
        *("--listen", "127.0.0.1:0", "--front-ends", "2", "--scripted-load-error", "It cannot be.", "--metrics-listen"),
        "",
        wait_for="It cannot be.",
    )
    family = psutil.Process(server.process.pid).children()
    assert await asyncio.wait_for(server.process.wait(), 30) == 1
    await all_gone(family, 1)


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("listen", ("--listen", "unix:/tmp/nobody.sock")),
        ("audit_dir", ("--audit-dir", "/nonexistent")),
        ("load_reports", ("--load-reports", "all")),
        ("max_concurrent_requests", ("--max-concurrent-requests", "2")),
    ],
)
async def test_what_several_cannot_do_is_refused_by_its_name(name, flags, start_server):
    server = await start_server(
        *("--listen", "127.0.0.1:0", "--front-ends", "3", "--metrics-listen", "", *flags), wait_for="cannot start"
    )
    assert f"front_ends: {name} does not go with 3 of them" in server.lines[-1]
    assert await asyncio.wait_for(server.process.wait(), 30) == 1
