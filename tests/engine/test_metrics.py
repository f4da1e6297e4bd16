"""vLLM's own figures, beside palaver's, in one scrape of a server."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import grpc
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from palaver.v1 import (
    chat_service_pb2,
    chat_service_pb2_grpc,
    content_part_pb2,
    generation_options_pb2,
    message_pb2,
    role_pb2,
)
from palaver_server.cli.top.figures import figures_of
from palaver_server.cli.top.scrape import Interval, scrape
from tests.engine.conftest import TINY_GLM

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]
USUAL = {
    *("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"),
    *("vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total", "vllm:num_preemptions_total"),
    *("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:request_success_total"),
    *("vllm:time_to_first_token_seconds_bucket", "vllm:inter_token_latency_seconds_bucket"),
    *("vllm:e2e_request_latency_seconds_bucket", "vllm:request_queue_time_seconds_bucket"),
}
"""What dashboards for vLLM ask for, and `palaver top`."""


@dataclass
class Server:
    """A process of its own: vLLM tells the figures of that engine alone which was made last in one."""

    stub: chat_service_pb2_grpc.ChatServiceAsyncStub
    metrics_url: str

    async def answer(self) -> int:
        """Have something answered; gives the number of its tokens."""
        part = content_part_pb2.ContentPart(text="What is the capital of France?")
        message = message_pb2.Message(role=role_pb2.ROLE_USER, content=[part])
        options = generation_options_pb2.GenerationOptions(temperature=0, max_output_tokens=8)
        answer = await self.stub.Chat(chat_service_pb2.ChatRequest(messages=[message], options=options))
        return answer.usage.output_token_count

    async def text(self) -> str:
        """What the port of metrics tells."""
        return await asyncio.to_thread(lambda: urllib.request.urlopen(self.metrics_url, timeout=30).read().decode())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder = tmp_path_factory.mktemp("metrics")
    listen = f"unix:{folder}/api.sock"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "palaver_server", "serve", "--listen", listen, "--state-dir", str(folder)),
        *("--model", str(TINY_GLM), "--max-model-len", "2048", "--metrics-listen", "127.0.0.1:0"),
        *("--log-format", "json"),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        address = await _metrics_address(process)
        async with grpc.aio.insecure_channel(listen) as channel:
            stub: chat_service_pb2_grpc.ChatServiceAsyncStub = chat_service_pb2_grpc.ChatServiceStub(channel)  # type: ignore[assignment]
            yield Server(stub, f"http://{address}/metrics")
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def _metrics_address(process: asyncio.subprocess.Process) -> str:
    """Read the log until the server is ready."""
    assert process.stderr is not None
    lines, address = [], ""
    async for line in process.stderr:
        lines.append(line.decode())
        if line.startswith(b"{"):
            event = json.loads(line)
            if event["event"] == "metrics port":
                address = event["address"]
        if b"Ready after" in line:
            return address
    raise AssertionError("".join(lines))


async def test_vllms_figures_stand_beside_ours_under_their_usual_names(server: Server) -> None:
    before = await asyncio.to_thread(scrape, server.metrics_url)
    count = await server.answer()
    shown = None
    async with asyncio.timeout(60):  # vLLM counts a step a moment after it has told of it
        while shown is None or shown.between_tokens.count == 0:
            after = await asyncio.to_thread(scrape, server.metrics_url)
            shown = figures_of(Interval(before, after))
    text = await server.text()
    samples = {sample.name: sample for family in text_string_to_metric_families(text) for sample in family.samples}
    assert samples.keys() >= USUAL
    assert samples["vllm:generation_tokens_total"].value >= count > 0
    assert shown.output_tokens * (after.at - before.at) == pytest.approx(count)
    assert shown.engine_waiting == 0
    assert shown.between_tokens.p50 is not None
    assert shown.kv_cache is not None
    assert {"palaver_tokens_total", "process_resident_memory_bytes", "python_info"} <= samples.keys()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, of the Debian package prometheus")
async def test_promtool_has_nothing_to_say_but_of_vllms_names(server: Server) -> None:
    """It dislikes colons in them, for one."""
    await server.answer()
    check = await asyncio.create_subprocess_exec(
        *("promtool", "check", "metrics"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    text = await server.text()

    said, _ = await check.communicate(text.encode())

    assert "vllm:" in text
    assert not [line for line in said.decode().splitlines() if not line.startswith("vllm:")]
