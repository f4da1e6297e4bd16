"""Models are listed and described; whoever waits for a server waits as long as it takes and no longer."""

from __future__ import annotations

import asyncio
import time

import pytest
from grpc_health.v1 import health_pb2

from palaver_client import errors

CHAT = "palaver.v1.ChatService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_all_pages_of_models_are_listed(caller):
    models = await caller.call("list_models")
    assert [model.id for model in models] == ["default", "second", "third"]


async def test_a_model_is_found_by_its_id_its_name_and_by_default(caller, new_caller, fake):
    assert (await caller.call("get_model", "org/m")).name == "models/org/m"
    assert (await caller.call("get_model", "models/org/m")).name == "models/org/m"
    assert (await caller.call("get_model")).id == "default"
    assert (await new_caller(fake.address, model="mine").call("get_model")).id == "mine"


async def test_the_clients_model_is_asked_unless_a_call_names_another(new_caller, fake):
    caller = new_caller(fake.address, model="mine")
    await caller.chat("x")
    await caller.chat("x", model="other")
    await caller.call("count_tokens", "x")
    await caller.read(caller.client.stream("x"))
    first, second, third, fourth = (call.request for call in fake.calls)
    assert [first.model, second.model, third.chat.model, fourth.chat.model] == ["mine", "other", "mine", "mine"]


async def test_tokens_are_counted_of_the_same_request(caller, fake):
    counted = await caller.call("count_tokens", "hello", system="s", temperature=0.5)
    assert counted.prompt_token_count == 2
    await caller.chat("hello", system="s", temperature=0.5)
    assert fake.calls[0].request.chat == fake.calls[1].request


@pytest.mark.parametrize("method", ["list_models", "get_model"])
async def test_a_chat_option_where_nothing_chats_is_refused(caller, method):
    with pytest.raises(TypeError, match="there is no option 'temperature'; those there are: timeout"):
        await caller.call(method, temperature=1)


async def test_a_ready_server_is_not_waited_for(caller, fake):
    fake.health.set(CHAT, SERVING)
    began = time.monotonic()
    await caller.call("wait_until_ready", 10)
    assert time.monotonic() - began < 2


async def test_waiting_ends_when_the_model_is_loaded(caller, fake):
    fake.health.set(CHAT, NOT_SERVING)
    waiting = asyncio.create_task(caller.call("wait_until_ready", 20))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    fake.health.set(CHAT, SERVING)
    await waiting


async def test_waiting_begins_before_the_server_does_and_outlasts_its_restart(new_caller, fake, start_again):
    first = start_again(fake)
    fake.health.set(CHAT, NOT_SERVING)
    caller = new_caller(first.address)
    waiting = asyncio.create_task(caller.call("wait_until_ready", None))
    await asyncio.sleep(0.2)
    first.stop()
    await asyncio.sleep(0.2)
    assert not waiting.done()
    fake.health.set(CHAT, SERVING)
    start_again(fake, first.address)
    await waiting


async def test_waiting_in_vain_tells_what_was_seen(caller, fake, new_caller, start_again):
    fake.health.set(CHAT, NOT_SERVING)
    with pytest.raises(errors.DeadlineExceeded, match=r"not ready within 0\.3 s: it is reached, and not ready"):
        await caller.call("wait_until_ready", 0.3)
    gone = start_again(fake)
    gone.stop()
    with pytest.raises(errors.DeadlineExceeded, match=r"not ready within 0\.3 s: No answer from .* refused"):
        await new_caller(gone.address).call("wait_until_ready", 0.3)


async def test_closing_the_client_ends_the_waiting(caller, fake):
    fake.health.set(CHAT, NOT_SERVING)
    waiting = asyncio.create_task(caller.call("wait_until_ready", 30))
    await asyncio.sleep(0.2)
    await caller.close(caller.client)
    async with asyncio.timeout(5):
        with pytest.raises(errors.Cancelled):
            await waiting


async def test_a_cancelled_task_stops_waiting(new_async, fake):
    fake.health.set(CHAT, NOT_SERVING)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await new_async.wait_until_ready()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
async def test_a_timeout_that_cannot_be_is_refused(caller, seconds):
    with pytest.raises(ValueError, match="timeout must be above 0"):
        await caller.call("wait_until_ready", seconds)
    with pytest.raises(ValueError, match="timeout must be above 0"):
        await caller.chat("x", timeout=seconds)


async def test_no_timeout_is_no_deadline(caller, fake):
    await caller.chat("x", timeout=None)
    assert fake.calls[0].time_remaining is None or fake.calls[0].time_remaining > 10**6
