"""Streams give what came, and end the call on the server however they are left."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import textwrap
import threading

import grpc
import pytest

from palaver_client import Client, errors
from palaver_client._attempts import Attempts

Code = grpc.StatusCode
HANGS = {"words": ("one", "two"), "hangs": True}


async def ended(fake) -> bool:
    """Wait for the server to hear that its call has ended; tell whether it ended before the answer did."""
    received = await asyncio.to_thread(fake.arrived.get, timeout=10)
    assert await asyncio.to_thread(received.ended.wait, 10)
    return not received.is_answered


async def test_a_stream_gives_the_pieces_and_then_the_whole(caller):
    stream = caller.client.stream("one two three")
    assert repr(stream).endswith("open)")
    assert await caller.read(stream) == ["one", " two", " three"]
    assert stream.answer.text == stream.text == "one two three"
    assert stream.answer.id == "chat-1"
    assert stream.answer.finish_reason == "stop"
    assert stream.usage.output_token_count == stream.answer.usage.output_token_count == 3
    assert stream.request_id == stream.answer.request_id == stream.answer.request_id
    assert repr(stream).endswith("whole)")
    assert await caller.read(stream) == []


async def test_events_give_everything_in_order(caller):
    stream = caller.client.stream("one two")
    kinds = [event.WhichOneof("event") for event in await caller.events(stream)]
    assert kinds == ["started", "delta", "delta", "finished"]
    assert stream.answer.text == "one two"


async def test_nothing_is_sent_before_a_stream_is_read(caller, fake):
    stream = caller.client.stream("hi")
    await caller.chat("another")
    assert [call.method for call in fake.calls] == ["Chat"]
    with pytest.raises(RuntimeError, match="read to its end"):
        _ = stream.answer
    with pytest.raises(RuntimeError, match="usage"):
        _ = stream.usage


async def test_a_stream_that_is_closed_before_it_begins_sends_nothing(caller, fake):
    stream = caller.client.stream("hi")
    await caller.close(stream)
    with pytest.raises(errors.Cancelled):
        await caller.read(stream)
    assert fake.calls == []


async def test_closing_ends_the_call_on_the_server(caller, fake, act):
    fake.will(act(**HANGS))
    stream = caller.client.stream("hi")
    assert await caller.read(stream, 2) == ["one", " two"]
    await caller.close(stream)
    await caller.close(stream)
    assert await ended(fake)
    assert stream.text == "one two"
    with pytest.raises(errors.Cancelled):
        await caller.read(stream)
    with pytest.raises(errors.Cancelled):
        _ = stream.answer


async def test_a_whole_stream_is_not_cancelled_by_closing(caller, fake):
    stream = caller.client.stream("hi")
    await caller.read(stream)
    await caller.close(stream)
    assert stream.answer.text == "hi"
    assert not await ended(fake)


async def test_whoever_reads_learns_that_another_has_closed(caller, fake, act):
    fake.will(act(**HANGS))
    stream = caller.client.stream("hi")
    reading = asyncio.create_task(caller.read(stream))
    received = await asyncio.to_thread(fake.arrived.get, timeout=10)
    while stream.text != "one two":
        await asyncio.sleep(0.001)
    await caller.close(stream)
    with pytest.raises(errors.Cancelled):
        await reading
    assert await asyncio.to_thread(received.ended.wait, 10)


async def test_closing_ends_the_wait_for_another_attempt(caller, fake, failure, monkeypatch):
    decided = threading.Event()
    delay_after = Attempts.delay_after

    def deciding(attempts, error):
        delay = delay_after(attempts, error)
        decided.set()
        return delay

    monkeypatch.setattr(Attempts, "delay_after", deciding)
    fake.will(failure(Code.UNAVAILABLE, reason="MODEL_LOADING", retry_after=15))
    stream = caller.client.stream("hi")
    reading = asyncio.create_task(caller.read(stream))
    assert await asyncio.to_thread(decided.wait, 10)
    await caller.close(stream)
    async with asyncio.timeout(5):
        with pytest.raises(errors.Cancelled):
            await reading
    assert len(fake.calls) == 1


async def test_closing_the_client_ends_its_calls(caller, fake, act):
    fake.will(act(**HANGS), act(**HANGS))
    stream = caller.client.stream("hi")
    await caller.read(stream, 1)
    chat = asyncio.create_task(caller.chat("hi"))
    received = [await asyncio.to_thread(fake.arrived.get, timeout=10) for _ in range(2)]
    await caller.close(caller.client)
    for call in received:
        assert await asyncio.to_thread(call.ended.wait, 10)
    with pytest.raises(errors.Cancelled):
        await chat
    with pytest.raises(errors.Cancelled):
        await caller.read(stream)
    with pytest.raises(RuntimeError, match="closed"):
        await caller.chat("hi")
    with pytest.raises(RuntimeError, match="closed"):
        caller.client.stream("hi")
    assert "closed" in repr(caller.client)


async def test_leaving_an_async_with_ends_the_call(new_async, fake, act):
    fake.will(act(**HANGS))
    async with new_async.stream("hi") as stream:
        async for _ in stream:
            break
    assert await ended(fake)


async def test_an_exception_inside_an_async_with_ends_the_call(new_async, fake, act):
    fake.will(act(**HANGS))
    with pytest.raises(ZeroDivisionError):
        async with new_async.stream("hi") as stream:
            async for _ in stream:
                _ = 1 / 0
    assert await ended(fake)


async def test_a_bare_break_ends_the_call_when_nobody_holds_the_stream(new_async, fake, act):
    fake.will(act(**HANGS), act(**HANGS))
    async for _ in new_async.stream("hi"):
        break
    assert await ended(fake)
    async for _ in new_async.stream("hi").events():
        break
    assert await ended(fake)


async def test_a_stream_in_a_cycle_ends_its_call_when_it_is_collected_in_another_thread(new_async, fake, act):
    fake.will(act(**HANGS))
    stream = new_async.stream("hi")
    await anext(stream)
    stream.itself = stream
    del stream
    await asyncio.to_thread(gc.collect)
    assert await ended(fake)


@pytest.mark.parametrize("where", ["a stream", "a chat", "a wait for another attempt"])
async def test_a_cancelled_task_ends_its_call_and_stays_cancelled(new_async, fake, act, failure, where):
    if where == "a wait for another attempt":
        fake.will(failure(Code.UNAVAILABLE, reason="MODEL_LOADING", retry_after=15))
    else:
        fake.will(act(**HANGS))

    async def ask():
        if where == "a chat":
            await new_async.chat("hi")
        else:
            async for _ in new_async.stream("hi"):
                pass

    task = asyncio.create_task(ask())
    received = await asyncio.to_thread(fake.arrived.get, timeout=10)
    if where == "a wait for another attempt":
        await asyncio.to_thread(received.ended.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(received.ended.wait, 10)
    assert len(fake.calls) == 1


async def test_a_timeout_around_a_call_is_a_timeout(new_async, fake, act):
    fake.will(act(**HANGS))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await new_async.chat("hi")
    assert await ended(fake)


async def test_one_loop_per_async_client(new_async):
    await new_async.chat("hi")

    def elsewhere():
        asyncio.run(new_async.chat("hi"))

    with pytest.raises(RuntimeError, match="another event loop"):
        await asyncio.to_thread(elsewhere)


def test_leaving_a_with_ends_the_call(fake, act):
    fake.will(act(**HANGS))
    with Client(fake.address) as client, client.stream("hi") as stream:
        for _ in stream:
            break
        received = fake.arrived.get(timeout=10)
        assert not received.ended.is_set()
        stream.close()
        assert received.ended.wait(10)


def test_a_bare_break_ends_a_sync_call(fake, act):
    fake.will(act(**HANGS))
    with Client(fake.address) as client:
        for _ in client.stream("hi"):
            break
        assert fake.arrived.get(timeout=10).ended.wait(10)


def test_threads_share_a_client(fake):
    texts: list[str] = []
    with Client(fake.address) as client:
        threads = [
            threading.Thread(target=lambda n=n: texts.append("".join(client.stream(f"number {n}")))) for n in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert sorted(texts) == sorted(f"number {n}" for n in range(20))


@pytest.mark.parametrize("call", ["list(client.stream('hi'))", "client.chat('hi')"])
def test_ctrl_c_ends_the_call_though_the_program_lives_on(fake, act, call):
    fake.will(act(**HANGS))
    program = f"""
        from palaver_client import Client
        client = Client({fake.address!r})
        try:
            {call}
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            input()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        received = fake.arrived.get(timeout=20)
        child.send_signal(signal.SIGINT)
        assert child.stdout is not None
        assert child.stdout.readline() == "interrupted\n"
        assert received.ended.wait(10)
        rest = child.communicate("\n", timeout=20)
    assert (child.returncode, *rest) == (0, "", "")
