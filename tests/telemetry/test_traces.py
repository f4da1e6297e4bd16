"""Spans, as a real OTLP receiver gets them."""

from __future__ import annotations

import ast
import asyncio
import itertools
import re
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes, rpc_attributes
from opentelemetry.semconv.attributes import error_attributes

from palaver.v1 import chat_service_pb2, content_part_pb2, generation_options_pb2, message_pb2, role_pb2
from tests.telemetry.otlp import receiving

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
PARENT = ("traceparent", f"00-{TRACE}-{CALLER}-01")
CANARY = "canary-5b1d7c"


@pytest.fixture
async def receiver():
    async with receiving() as receiver:
        yield receiver


def request(text: str = "one two three", **fields) -> chat_service_pb2.StreamChatRequest:
    part = content_part_pb2.ContentPart(text=text)
    message = message_pb2.Message(role=role_pb2.ROLE_USER, content=[part])
    return chat_service_pb2.StreamChatRequest(chat=chat_service_pb2.ChatRequest(messages=[message], **fields))


def attributes(span) -> dict:
    def plain(value):
        kind = value.WhichOneof("value")
        return [plain(v) for v in value.array_value.values] if kind == "array_value" else getattr(value, kind)

    return {pair.key: plain(pair.value) for pair in span.attributes}


async def test_a_call_is_a_span_below_the_callers_with_the_models_work_below_it(serve, receiver):
    serving = await serve(otlp_endpoint=receiver.endpoint, scripted_interval=0.01)
    options = generation_options_pb2.GenerationOptions(temperature=0.5, max_output_tokens=50)
    events = [event async for event in serving.chat.StreamChat(request(options=options), metadata=[PARENT])]
    await serving.stop()
    server, chat = receiver.named("palaver.v1.ChatService/StreamChat"), receiver.named("chat scripted")
    assert (server.trace_id.hex(), server.parent_span_id.hex()) == (TRACE, CALLER)
    assert server.kind == server.SPAN_KIND_SERVER
    assert [event.name for event in server.events] == ["admitted", "first token"]
    assert attributes(server)["rpc.response.status_code"] == "OK"
    assert attributes(server)["rpc.method"] == "palaver.v1.ChatService/StreamChat"
    assert chat.parent_span_id == server.span_id
    said = attributes(chat)
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gen_ai.response.id"] == events[0].started.id
    assert said["gen_ai.request.temperature"] == 0.5
    assert said["gen_ai.usage.output_tokens"] == 3
    assert said["gen_ai.response.finish_reasons"] == ["stop"]
    steps = [receiver.named(name) for name in ("queue", "prefill", "decode")]
    assert {step.parent_span_id for step in steps} == {chat.span_id}
    moments = [server.start_time_unix_nano, chat.start_time_unix_nano]
    for step in steps:
        assert moments[-1] - 1000 <= step.start_time_unix_nano <= step.end_time_unix_nano
        moments.append(step.end_time_unix_nano)
    assert moments == sorted(moments)
    assert moments[-1] <= server.end_time_unix_nano


def attributes_of_conventions(*modules) -> tuple[set[str], set[str]]:
    """The names that OpenTelemetry publishes in its package, and those of them that it has given up."""
    published: set[str] = set()
    old: set[str] = set()
    for module in modules:
        body = ast.parse(Path(module.__file__).read_text()).body
        for line, after in itertools.zip_longest(body, body[1:]):
            if isinstance(line, ast.AnnAssign) and isinstance(line.value, ast.Constant):
                # Those for generative AI have only moved to a repository of their own.
                is_old = isinstance(after, ast.Expr) and re.search("Deprecated: (?!Moved to)", ast.unparse(after))
                (old if is_old else published).add(line.value.value)
    return published, old


async def test_spans_are_those_of_the_published_conventions(serve, receiver):
    """Names, required attributes, values of enumerations and kinds; nothing that has been given up."""
    serving = await serve(otlp_endpoint=receiver.endpoint, metrics_listen="")
    async for _ in serving.chat.StreamChat(request()):
        pass
    with pytest.raises(grpc.aio.AioRpcError):
        await serving.channel.unary_unary("/no.such/Method")(b"")
    with pytest.raises(grpc.aio.AioRpcError):
        async for _ in serving.chat.StreamChat(request(model="another")):
            pass
    await serving.stop()
    published, old = attributes_of_conventions(gen_ai_attributes, rpc_attributes, error_attributes)
    assert {"gen_ai.system", "gen_ai.usage.prompt_tokens", "rpc.grpc.status_code"} <= old
    calls = [span for span in receiver.spans if span.kind == span.SPAN_KIND_SERVER]
    (chat,) = [span for span in receiver.spans if span.name.startswith("chat ")]
    assert len(calls) == 3
    for span in receiver.spans:
        names = attributes(span).keys()
        assert not names & old
        assert {name for name in names if not name.startswith("palaver.")} <= published
    for span in calls:
        said = attributes(span)
        assert {"rpc.system.name", "rpc.method", "rpc.response.status_code"} <= said.keys()
        assert said["rpc.system.name"] == rpc_attributes.RpcSystemNameValues.GRPC.value
        assert span.name == said["rpc.method"]
        assert said["rpc.response.status_code"] in grpc.StatusCode.__members__
        assert (span.status.code == span.status.STATUS_CODE_ERROR) == ("error.type" in said)
    said = attributes(chat)
    assert {"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"} <= said.keys()
    assert said["gen_ai.operation.name"] == gen_ai_attributes.GenAiOperationNameValues.CHAT.value
    assert chat.name == f"{said['gen_ai.operation.name']} {said['gen_ai.request.model']}"
    assert chat.kind == chat.SPAN_KIND_INTERNAL  # for a model in the same process
    assert isinstance(said["gen_ai.usage.input_tokens"], int)
    assert isinstance(said["gen_ai.response.time_to_first_chunk"], float)
    assert attributes(receiver.named("_OTHER"))["rpc.method"] == "_OTHER"


async def test_no_text_of_the_caller_is_in_a_span(serve, receiver):
    serving = await serve(otlp_endpoint=receiver.endpoint)
    options = generation_options_pb2.GenerationOptions(stop_sequences=[CANARY + "-stop"])
    chat = request(CANARY, user_id=CANARY, labels={"label": CANARY}, options=options)
    async for _ in serving.chat.StreamChat(chat, metadata=[("x-api-key", CANARY), ("x-other", CANARY), PARENT]):
        pass
    with pytest.raises(grpc.aio.AioRpcError):
        await serving.channel.unary_unary(f"/{CANARY}/{CANARY}")(b"")
    await serving.stop()
    assert len(receiver.spans) > 4
    assert CANARY.encode() not in receiver.raw


async def test_what_a_caller_decided_about_its_trace_holds_and_the_rest_is_sampled(serve, receiver):
    serving = await serve(otlp_endpoint=receiver.endpoint, trace_sample_ratio=0.0)
    await serving.chat.CountTokens(chat_service_pb2.CountTokensRequest(chat=request().chat), metadata=[PARENT])
    not_sampled = ("traceparent", f"00-{TRACE[::-1]}-{CALLER}-00")
    for metadata in ([], [not_sampled], [("traceparent", "nonsense")]):
        await serving.chat.CountTokens(chat_service_pb2.CountTokensRequest(chat=request().chat), metadata=metadata)
    await serving.stop()
    assert [span.trace_id.hex() for span in receiver.spans] == [TRACE]


async def test_a_collector_that_is_away_costs_nothing_but_its_traces(serve, caplog):
    serving = await serve(otlp_endpoint="http://127.0.0.1:1")
    for _ in range(20):
        async for _ in serving.chat.StreamChat(request()):
            pass
    async with asyncio.timeout(60):
        assert await serving.stop() == 0
    assert not [record for record in caplog.records if "opentelemetry" in record.name]


def test_the_sdk_is_not_even_imported_where_traces_are_off():
    code = "import sys, palaver_server.app; print([m for m in sys.modules if m.startswith('opentelemetry')])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert printed.stdout.strip() == "[]"
