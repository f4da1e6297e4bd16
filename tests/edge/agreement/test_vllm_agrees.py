"""What vLLM counts by itself, beside what palaver and its callers count: one real engine, behind a real Envoy."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, role_pb2
from tests.edge.agreement.calls import WAYS, Ask, Caller
from tests.edge.agreement.mix import caller_of, metrics_address, until_running
from tests.edge.agreement.told import ask, with_audit
from tests.edge.conftest import Pair, running_pair
from tests.engine.conftest import TINY_GLM
from tests.scrape import Scraped, scrape

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(400)]

FLAGS = (
    *("--engine", "vllm", "--model", str(TINY_GLM), "--served-model-name", "tiny-glm", "--max-model-len", "2048"),
    *("--metrics-listen", "127.0.0.1:0", "--max-concurrent-requests", "8"),
)
START_SECONDS = 180
COUNTERS = ("vllm:request_success_total", "vllm:prompt_tokens_total", "vllm:generation_tokens_total")
LEAVING = 4


def counters(figures: Scraped) -> list[float]:
    return [figures.of(name) for name in COUNTERS]


async def answer_and_refuse(caller: Caller) -> None:
    for words in (1, 5, 9):
        await asyncio.gather(*(caller.call(way, Ask(f"count {words}", words=words)) for way in WAYS))
    await asyncio.gather(*(caller.call(way, Ask(temperature=3)) for way in WAYS))
    await asyncio.gather(*(caller.call(way, Ask(model="another")) for way in WAYS))


async def leave(pair: Pair) -> None:
    """Ask for long answers, and go once they are being written."""
    request = chat_service_pb2.StreamChatRequest()
    request.chat.messages.add(role=role_pb2.ROLE_USER).content.add(text="tell me a story")
    request.chat.options.max_output_tokens = 1500
    request.chat.options.ignore_eos = True
    async with pair.channel() as channel:
        stub = chat_service_pb2_grpc.ChatServiceStub(channel)
        streams = [stub.StreamChat(request) for _ in range(LEAVING)]
        for stream in streams:
            while not (await stream.read()).HasField("delta"):
                pass
        for stream in streams:
            stream.cancel()
    await until_running(metrics_address(pair), 0)


def test_vllm_counts_the_answers_and_the_tokens_that_the_callers_were_told(tmp_path):
    audit = tmp_path / "audit"
    with running_pair(*FLAGS, "--audit-dir", str(audit), state_dir=tmp_path, wait_for="") as pair:
        pair.event("ready", START_SECONDS)
        address = metrics_address(pair)
        warmed_up = counters(scrape(address))

        async def call() -> Caller:
            async with caller_of(pair, "tiny-glm") as caller:
                await answer_and_refuse(caller)
                return caller

        told = ask(pair, asyncio.run(call()).seen)
        after_answers = counters(told.server)
        asyncio.run(leave(pair))
        after_leaving, palavers = counters(scrape(address)), scrape(address)
        assert pair.stop(60) == 0
    told = with_audit(told, audit)

    whole = [seen for seen in told.seen if seen.code is grpc.StatusCode.OK]
    assert len(whole) == 30
    grown = [after - before for after, before in zip(after_answers, warmed_up, strict=True)]
    prompt, output = (sum(getattr(seen, f"{kind}_tokens") for seen in whole) for kind in ("prompt", "output"))
    assert grown == [len(whole), prompt, output]
    assert told.server.of("palaver_tokens_total", type="prompt") == prompt
    assert told.server.of("palaver_tokens_total", type="output") == output

    # Of callers that left, vLLM counts no success; their prompts it has read, and of their tokens it counts those too
    # that nobody fetched any more.
    success, prompt_tokens, output_tokens = (
        after - before for after, before in zip(after_leaving, after_answers, strict=True)
    )
    left = [record for record in told.audit.values() if record["code"] == "CANCELLED"]
    assert len(left) == LEAVING
    assert success == 0
    assert prompt_tokens == sum(record["prompt_tokens"] for record in left)
    assert output_tokens >= sum(record["output_tokens"] for record in left) > 0
    assert palavers.of("palaver_tokens_total", type="output") == output + sum(r["output_tokens"] for r in left)
