"""What is sent again, how often and when, over a real connection."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest

from palaver_client import AsyncClient, RetryPolicy, errors

Code = grpc.StatusCode


async def both_ways(caller, prompt="hi there", **options):
    """Ask in one piece and streamed, by turns."""
    yield lambda: caller.chat(prompt, **options)

    async def streamed():
        stream = caller.client.stream(prompt, **options)
        await caller.read(stream)
        return stream.answer

    yield streamed


async def test_a_server_that_is_busy_twice_answers_the_third_time(caller, fake, failure):
    async for ask in both_ways(caller):
        fake.calls.clear()
        fake.will(*[failure(Code.UNAVAILABLE, reason="MODEL_LOADING", retry_after=0.05)] * 2)
        began = time.monotonic()
        assert (await ask()).text == "hi there"
        assert time.monotonic() - began >= 0.1
        assert len(fake.calls) == 3
        gaps = [later.at - earlier.at for earlier, later in zip(fake.calls, fake.calls[1:], strict=False)]
        assert all(gap >= 0.05 for gap in gaps)


async def test_all_attempts_of_a_call_have_one_request_id_and_one_deadline(caller, fake, failure):
    fake.will(*[failure(Code.RESOURCE_EXHAUSTED, reason="SERVER_OVERLOADED", retry_after=0.5)] * 2)
    await caller.chat("hi", timeout=3)
    assert len({call.metadata["x-request-id"] for call in fake.calls}) == 1
    assert max(call.time_remaining for call in fake.calls) <= 3
    ends = [call.at + call.time_remaining for call in fake.calls]
    # gRPC rounds what it sends; had each attempt a deadline of its own, they would be a second apart.
    assert max(ends) - min(ends) < 0.5


async def test_attempts_end_and_the_last_error_is_raised(new_caller, fake, failure):
    caller = new_caller(fake.address, retry=RetryPolicy(max_attempts=3, initial_backoff=0.01))
    async for ask in both_ways(caller):
        fake.calls.clear()
        fake.will(*[failure(Code.UNAVAILABLE, f"try {number}", reason="MODEL_LOADING") for number in (1, 2, 3)])
        with pytest.raises(errors.Unavailable, match="try 3") as caught:
            await ask()
        assert caught.value.__notes__ == ["3 attempts were made."]
        assert len(fake.calls) == 3


async def test_without_a_policy_nothing_is_sent_again(new_caller, fake, failure):
    caller = new_caller(fake.address, retry=None)
    async for ask in both_ways(caller):
        fake.calls.clear()
        fake.will(failure(Code.UNAVAILABLE, reason="MODEL_LOADING", retry_after=0.01))
        with pytest.raises(errors.Unavailable):
            await ask()
        assert len(fake.calls) == 1


async def test_a_wait_that_would_outlast_the_deadline_fails_at_once_with_the_last_error(caller, fake, failure):
    async for ask in both_ways(caller, timeout=5):
        fake.calls.clear()
        fake.will(failure(Code.RESOURCE_EXHAUSTED, "full", reason="SERVER_OVERLOADED", retry_after=10))
        began = time.monotonic()
        with pytest.raises(errors.Overloaded, match="full") as caught:
            await ask()
        assert time.monotonic() - began < 1
        assert caught.value.retry_after == 10
        assert len(fake.calls) == 1


async def test_a_refusal_without_a_time_is_tried_again_by_backoff(caller, fake, failure):
    fake.will(failure(Code.RESOURCE_EXHAUSTED), failure(Code.UNAVAILABLE))
    assert (await caller.chat("hi")).text == "hi"
    assert len(fake.calls) == 3


@pytest.mark.parametrize("code", [Code.INVALID_ARGUMENT, Code.INTERNAL, Code.UNAUTHENTICATED, Code.DEADLINE_EXCEEDED])
async def test_other_failures_are_not_sent_again_even_with_a_time(caller, fake, failure, code):
    async for ask in both_ways(caller):
        fake.calls.clear()
        fake.will(failure(code, reason="OTHER", retry_after=0.01))
        with pytest.raises(errors.PalaverClientError):
            await ask()
        assert len(fake.calls) == 1


@pytest.mark.parametrize("words", [(), ("one", "two")], ids=["after the start", "after words"])
async def test_a_stream_whose_first_event_came_is_never_sent_again(caller, fake, act, failure, words):
    fake.will(act(words=words, failure=failure(Code.UNAVAILABLE, "lost", reason="ENGINE_UNAVAILABLE", retry_after=0)))
    stream = caller.client.stream("hi")
    with pytest.raises(errors.Unavailable, match="lost"):
        await caller.read(stream)
    assert len(fake.calls) == 1
    assert stream.text == " ".join(words)
    with pytest.raises(errors.Unavailable, match="lost"):
        _ = stream.answer


async def test_a_call_outlasts_a_restart_of_the_server(new_caller, fake, start_again):
    first = start_again(fake)
    patient = RetryPolicy(max_attempts=20, initial_backoff=0.2, max_backoff=0.5)
    caller = new_caller(first.address, retry=patient)
    await caller.chat("before")
    first.stop()
    call = asyncio.create_task(caller.chat("during"))
    await asyncio.sleep(0.5)  # the time that the restart takes
    assert not call.done()
    start_again(fake, first.address)
    assert (await call).text == "during"
    assert (await caller.chat("after")).text == "after"


async def test_a_restart_is_noticed_within_seconds_however_long_the_server_was_gone(fake, start_again):
    first = start_again(fake)
    async with AsyncClient(first.address, retry=None) as client:
        await client.chat("before")
        first.stop()
        gone_until = time.monotonic() + 9  # gRPC's own backoff would have grown to five seconds by then
        while time.monotonic() < gone_until:
            with pytest.raises(errors.ConnectionFailed):
                await client.chat("during")
            await asyncio.sleep(0.1)
        start_again(fake, first.address)
        began = time.monotonic()
        while True:
            try:
                await client.chat("after")
                break
            except errors.ConnectionFailed:
                await asyncio.sleep(0.05)
        assert time.monotonic() - began < 3


async def test_a_call_that_waits_for_a_ready_server_does_so_without_attempts(new_caller, fake, start_again):
    first = start_again(fake)
    first.stop()
    caller = new_caller(first.address, retry=None, wait_for_ready=True)
    call = asyncio.create_task(caller.chat("patience", timeout=15))
    await asyncio.sleep(0.3)
    assert not call.done()
    start_again(fake, first.address)
    assert (await call).text == "patience"


async def test_a_call_that_waits_in_vain_ends_with_its_timeout(new_caller, fake, start_again):
    gone = start_again(fake)
    gone.stop()
    caller = new_caller(gone.address, wait_for_ready=True)
    with pytest.raises(errors.DeadlineExceeded):
        await caller.chat("hi", timeout=0.3)
