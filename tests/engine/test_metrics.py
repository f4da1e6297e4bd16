"""vLLM's own figures, beside palaver's, in one scrape."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from palaver_server.cli.top.figures import figures_of
from palaver_server.cli.top.scrape import Interval, scrape
from palaver_server.engine.vllm.engine import VllmEngine
from palaver_server.telemetry.metrics.calls import CallMetrics
from palaver_server.telemetry.metrics.merged import ThisProcess
from palaver_server.telemetry.metrics.port import MetricsPort
from tests.engine.conftest import TINY_GLM, answer, loaded, say

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]
USUAL = {
    *("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"),
    *("vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total", "vllm:num_preemptions_total"),
    *("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:request_success_total"),
    *("vllm:time_to_first_token_seconds_bucket", "vllm:inter_token_latency_seconds_bucket"),
    *("vllm:e2e_request_latency_seconds_bucket", "vllm:request_queue_time_seconds_bucket"),
}
"""What dashboards for vLLM ask for, and `palaver top`."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engine() -> AsyncIterator[VllmEngine]:
    """Of its own: vLLM tells the figures of that engine alone which was made last in a process.

    It ends with all others: they are forks of one process, which ends with the first of them.
    """
    async with loaded(TINY_GLM, "tiny-glm") as engine:
        yield engine


async def test_vllms_figures_stand_beside_ours_under_their_usual_names(engine) -> None:
    registry = CollectorRegistry()
    CallMetrics(registry)
    with metrics_of(registry) as url:
        before = await asyncio.to_thread(scrape, url)
        told = await answer(engine, say("What is the capital of France?", temperature=0, max_output_tokens=8))
        shown = None
        async with asyncio.timeout(60):  # vLLM counts a step a moment after it has told of it
            while shown is None or shown.between_tokens.count == 0:
                after = await asyncio.to_thread(scrape, url)
                shown = figures_of(Interval(before, after))
        text = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=30).read().decode())
    samples = {sample.name: sample for family in text_string_to_metric_families(text) for sample in family.samples}
    assert samples.keys() >= USUAL
    assert samples["vllm:generation_tokens_total"].value >= told.usage.output_token_count > 0
    assert shown.output_tokens * (after.at - before.at) == pytest.approx(told.usage.output_token_count)
    assert shown.engine_waiting == 0
    assert shown.between_tokens.p50 is not None
    assert shown.kv_cache is not None
    assert {"palaver_tokens_total", "process_resident_memory_bytes", "python_info"} <= samples.keys()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, of the Debian package prometheus")
async def test_promtool_has_nothing_to_say_but_of_vllms_names(engine) -> None:
    """It dislikes colons in them, for one."""
    await answer(engine, say("What is the capital of France?", temperature=0, max_output_tokens=8))
    registry = CollectorRegistry()
    CallMetrics(registry)
    check = await asyncio.create_subprocess_exec(
        *("promtool", "check", "metrics"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    with metrics_of(registry) as url:
        text = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=30).read())

    said, _ = await check.communicate(text)

    assert b"vllm:" in text
    assert not [line for line in said.decode().splitlines() if not line.startswith("vllm:")]


@contextmanager
def metrics_of(registry: CollectorRegistry) -> Iterator[str]:
    port = MetricsPort(ThisProcess(registry))
    try:
        yield f"http://{port.start('127.0.0.1:0')}/metrics"
    finally:
        port.stop()
