"""Envoy's access log: a line for each call that was let through, and a bounded number for all who were not."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import grpc
import pytest

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc
from palaver_server.core.identity.key_text import new_key_text
from tests.edge.conftest import new_key
from tests.scrape import scrape

A_SECOND = 1
AT_ONCE = 100 * A_SECOND
EACH = 150
"""Calls of every kind of refusal: more of each than the log takes at once."""
FLAGS = ("--edge-access-log-refusals", str(A_SECOND))
OPENAI = {"messages": [{"role": "user", "content": "one"}]}


@pytest.fixture(scope="module")
def locked(tmp_path_factory, start_pair_of_module):
    """A pair, and the keys of one who may call and of one who may hardly."""
    state_dir = tmp_path_factory.mktemp("s")
    free, _ = new_key(state_dir, "acme", "--requests-per-minute", "unlimited")
    limited, _ = new_key(state_dir, "bob", "--requests-per-minute", "1")
    return start_pair_of_module(*FLAGS, state_dir=state_dir), free, limited


async def test_a_flood_of_refused_calls_writes_few_lines_and_every_figure_stays_exact(locked):
    pair, free, limited = locked
    began = time.monotonic()
    async with pair.client() as client, pair.channel() as channel:
        stub = chat_service_pb2_grpc.ChatServiceStub(channel)

        async def over_grpc() -> str:
            call = stub.Chat(chat_service_pb2.ChatRequest(), metadata=(("x-api-key", new_key_text()),))
            return (await call.code()).name

        async def over_http(path: str, key: str | None) -> str:
            headers = {"x-api-key": key} if key else {}
            return str((await client.get(path, headers=headers)).status_code)

        seen: Counter[str] = Counter()
        for _ in range(EACH):
            told = (
                over_grpc(),
                over_http("/v1/models", None),
                over_http("/v1/models", limited),
                over_http("/nothing/here", free),
                over_http("/health", None),
            )
            seen.update(await asyncio.gather(*told))
        ids = [f"let-through-{number}" for number in range(50)]
        for request_id in ids:
            headers = {"x-api-key": free, "x-request-id": request_id}
            assert (await client.post("/v1/chat/completions", json=OPENAI, headers=headers)).status_code == 200
    assert seen["429"] + seen[grpc.StatusCode.RESOURCE_EXHAUSTED.name] >= EACH - 2
    assert seen["404"] == EACH
    for request_id in ids:  # theirs are all there, amid the flood
        assert pair.edge_call(request_id)["client"] == "acme"
    lines = len(pair.events("edge call"))
    let_through = len(ids) + sum(line["client"] == "bob" and line["status"] == 200 for line in pair.events("edge call"))
    assert AT_ONCE <= lines - let_through <= AT_ONCE + A_SECOND * (time.monotonic() - began) + 1
    figures = scrape(pair.status_url.removeprefix("http://"))
    calls = figures.of("envoy_http_downstream_rq_total", envoy_http_conn_manager_prefix="edge")
    assert calls == 5 * EACH + len(ids)
    assert figures.of("envoy_access_log_process_ratelimit_denied_total") == calls - lines
