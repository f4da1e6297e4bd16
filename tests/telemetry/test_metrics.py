"""What Prometheus is told of calls: exact counts, and series that no caller can add."""

from __future__ import annotations

import asyncio
import urllib.request
import uuid

import grpc
import pytest
from prometheus_client import REGISTRY, Gauge
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from palaver.v1 import chat_service_pb2, content_part_pb2, generation_options_pb2, message_pb2, role_pb2
from tests.scrape import Scraped, parse, scrape_text


def chat_request(text: str, **fields) -> chat_service_pb2.ChatRequest:
    part = content_part_pb2.ContentPart(text=text)
    return chat_service_pb2.ChatRequest(
        messages=[message_pb2.Message(role=role_pb2.ROLE_USER, content=[part])], **fields
    )


async def scrape(serving, accept: str = "text/plain") -> str:
    return await asyncio.to_thread(scrape_text, serving.app.metrics_address, accept)


async def figures(serving) -> Scraped:
    return parse(await scrape(serving))


@pytest.fixture
async def serving(serve):
    return await serve(metrics_listen="127.0.0.1:0")


async def test_every_call_is_counted_once_with_its_code_and_tokens(serving):
    answer = await serving.chat.Chat(chat_request("one two three"))
    stream = serving.chat.StreamChat(chat_service_pb2.StreamChatRequest(chat=chat_request("four five")))
    deltas = sum([event.WhichOneof("event") == "delta" async for event in stream])
    with pytest.raises(grpc.aio.AioRpcError):
        await serving.chat.Chat(chat_request("six", model="another"))
    seen = await figures(serving)
    chat = {"service": "palaver.v1.ChatService"}
    assert seen.of("palaver_calls_total", **chat, method="Chat", code="OK", tier="none") == 1
    assert seen.of("palaver_calls_total", **chat, method="StreamChat", code="OK") == 1
    assert seen.of("palaver_calls_total", **chat, method="Chat", code="NOT_FOUND") == 1
    assert seen.of("palaver_call_errors_total", method="Chat", reason="MODEL_NOT_FOUND") == 1
    assert seen.of("palaver_tokens_total", type="output") == 5
    assert seen.of("palaver_tokens_total", type="prompt") >= answer.usage.prompt_token_count
    assert seen.of("palaver_stream_deltas_total") == deltas
    assert seen.of("palaver_streamed_tokens_total") == 2
    assert seen.of("palaver_time_to_first_token_seconds_count") == 1
    assert seen.of("palaver_call_duration_seconds_count", method="Chat") == 2
    assert seen.of("palaver_admission_wait_seconds_count") == 2
    assert seen.of("palaver_client_calls_total", client="local", code="OK") == 2
    assert seen.of("palaver_ready") == 1
    assert seen.of("palaver_load_phase", phase="ready") == 1
    assert seen.of("palaver_resident_memory_bytes", process="server") > 10e6


async def test_a_stream_that_its_caller_leaves_counts_as_cancelled_with_the_tokens_it_got(serve):
    serving = await serve(metrics_listen="127.0.0.1:0", scripted_tokens=1000, scripted_interval=0.01)
    stream = serving.chat.StreamChat(chat_service_pb2.StreamChatRequest(chat=chat_request("go")))
    for _ in range(4):
        await stream.read()
    assert (await figures(serving)).of("palaver_running_calls") == 1
    stream.cancel()
    async with asyncio.timeout(20):
        while not (seen := await figures(serving)).of("palaver_calls_total", code="CANCELLED"):
            await asyncio.sleep(0.01)
    assert seen.of("palaver_running_calls") == 0
    assert 3 <= seen.of("palaver_tokens_total", type="output") < 1000


async def test_an_answer_in_one_piece_that_its_caller_leaves_counts_the_tokens_that_were_written(serve):
    serving = await serve(metrics_listen="127.0.0.1:0", scripted_tokens=1000, scripted_interval=0.01)
    call = serving.chat.Chat(chat_request("go"))
    async with asyncio.timeout(20):
        while not (running := list(serving.engine._running)) or running[0].output_token_count < 4:
            await asyncio.sleep(0.01)
        call.cancel()
        while not (seen := await figures(serving)).of("palaver_calls_total", code="CANCELLED"):
            await asyncio.sleep(0.01)
    assert 4 <= seen.of("palaver_tokens_total", type="output") < 1000


async def test_strings_of_callers_make_no_series(serving):
    await serving.chat.Chat(chat_request("first"))
    for _ in range(2):
        with pytest.raises(grpc.aio.AioRpcError):
            await serving.channel.unary_unary(f"/{uuid.uuid4().hex}/{uuid.uuid4().hex}")(b"")
        with pytest.raises(grpc.aio.AioRpcError):
            await serving.chat.Chat(chat_request("x", model="m" + uuid.uuid4().hex))
    before = await figures(serving)

    async def call() -> None:
        word = uuid.uuid4().hex
        metadata = [(key, word) for key in ("x-request-id", "x-api-key", "user-agent", "x-" + word)]
        metadata.append(("traceparent", f"00-{word}-{word[:16]}-01"))
        options = generation_options_pb2.GenerationOptions(stop_sequences=[word])
        chat = chat_request(word, user_id=word, labels={"l" + word: word}, options=options)
        await serving.chat.Chat(chat, metadata=metadata)
        for method in (f"/{word}/{word}", f"/palaver.v1.ChatService/{word}"):
            with pytest.raises(grpc.aio.AioRpcError):
                await serving.channel.unary_unary(method)(b"", metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError):
            await serving.chat.Chat(chat_request(word, model="m" + word))

    for _ in range(5):
        await asyncio.gather(*(call() for _ in range(20)))
    assert (await figures(serving)).keys() == before.keys()


async def test_openmetrics_is_spoken_and_parses(serving):
    await serving.chat.Chat(chat_request("hello"))
    text = await scrape(serving, "application/openmetrics-text; version=1.0.0")
    names = {family.name for family in parse_openmetrics(text)}
    assert {"palaver_calls", "palaver_build", "palaver_running_calls"} <= names
    assert not [line for line in text.splitlines() if "_created" in line]


@pytest.mark.parametrize("escaping", ["", ";escaping=underscores", ";escaping=allow-utf-8"])
async def test_names_of_vllm_are_the_same_in_every_format(serving, escaping):
    gauge = Gauge("vllm:like_this", "As vLLM names its own.", ["engine"])  # where libraries register
    try:
        gauge.labels("0").set(0.25)
        for accept in ("text/plain", f"application/openmetrics-text;version=1.0.0{escaping},text/plain;q=0.5"):
            assert 'vllm:like_this{engine="0"} 0.25' in (await scrape(serving, accept)).splitlines()
    finally:
        REGISTRY.unregister(gauge)


async def test_the_port_answers_while_the_model_loads_and_closes_with_the_server(serve):
    serving = await serve(metrics_listen="127.0.0.1:0", scripted_load=1000, wait_until_ready=False)
    seen = await figures(serving)
    assert seen.of("palaver_ready") == 0
    assert seen.of("palaver_load_phase") == 1
    address = serving.app.metrics_address
    await serving.stop()
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(urllib.request.urlopen, f"http://{address}/metrics", timeout=30)


async def test_a_taken_port_is_named_with_what_to_do(serving, serve):
    from palaver_server.rpc.listener import ListenError  # noqa: PLC0415

    with pytest.raises(ListenError, match="--metrics-listen"):
        await serve(metrics_listen=serving.app.metrics_address)


WANTED = {
    "calls by service, method, code and tier": ("palaver_calls_total", {"service", "method", "code", "tier"}),
    "failures by reason": ("palaver_call_errors_total", {"method", "reason"}),
    "the time to a first token": ("palaver_time_to_first_token_seconds_bucket", {"le"}),
    "the time between tokens": ("palaver_time_per_output_token_seconds_bucket", {"le"}),
    "the whole time": ("palaver_call_duration_seconds_bucket", {"service", "method", "le"}),
    "the wait for a permit": ("palaver_admission_wait_seconds_bucket", {"le"}),
    "the wait in the engine": ("palaver_engine_queue_seconds_bucket", {"le"}),
    "tokens by kind": ("palaver_tokens_total", {"type"}),
    "tokens by client": ("palaver_client_tokens_total", {"client", "type"}),
    "calls by client": ("palaver_client_calls_total", {"client", "code"}),
    "who is answered": ("palaver_running_calls", set()),
    "who waits": ("palaver_waiting_calls", set()),
    "pieces of streams": ("palaver_stream_deltas_total", set()),
    "tokens in them: how many go into one": ("palaver_streamed_tokens_total", set()),
    "slow readers": ("palaver_slow_readers_total", set()),
    "the phase of the load": ("palaver_load_phase", {"phase"}),
    "ends of the engine": ("palaver_engine_failures_total", set()),
    "its standing still": ("palaver_engine_silent_seconds", set()),
    "decisions about keys": ("palaver_key_decisions_total", {"outcome"}),
    "version and model": ("palaver_build_info", {"version", "model"}),
    "memory of all processes": ("palaver_resident_memory_bytes", {"process"}),
    "the process's own figures": ("process_cpu_seconds_total", set()),
    "its files": ("process_open_fds", set()),
}


async def test_every_figure_that_operators_are_promised_is_there_with_its_labels(serving):
    async for _ in serving.chat.StreamChat(chat_service_pb2.StreamChatRequest(chat=chat_request("one two three"))):
        pass
    with pytest.raises(grpc.aio.AioRpcError):
        await serving.chat.Chat(chat_request("six", model="another"))
    labels = {name: {label for label, _ in found} for name, found in await figures(serving)}
    assert {name: labels.get(name) for name, _ in WANTED.values()} == dict(WANTED.values())
    seen = await figures(serving)
    assert {dict(found)["type"] for name, found in seen if name == "palaver_tokens_total"} == {
        *("prompt", "cached_prompt", "output", "reasoning")
    }
