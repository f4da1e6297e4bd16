"""The same requests to vLLM's own server and to palaver on one engine: the same words, calls, ends and counts.

Each request goes to vLLM whole and streamed, and to palaver whole and streamed, in OpenAI's protocol and typed; one at
a time, in float32 and without a prefix cache, so that nothing but the servers can make a difference.
"""

from __future__ import annotations

import asyncio
import json
import math
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc
from palaver_server.app import App
from palaver_server.core.engine import ReportProgress
from palaver_server.engine.vllm.engine import VllmEngine
from palaver_server.rpc.openai.body import Body
from palaver_server.rpc.openai.request import request_from_body
from palaver_server.settings import load_settings
from tests.conftest import Announced
from tests.engine.conftest import TINY_GLM
from tests.engine.differential import views
from tests.engine.differential.accepted import DIFFERENCES
from tests.engine.differential.cases import Case, all_cases
from tests.engine.differential.views import Choice, View
from tests.engine.edged import Loaded
from tests.engine.vllm_app import vllm_app
from tests.wire import openai_calls

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

QUICK = 40
"""Requests of a usual run, spread over all; ``-m thorough`` sends every one."""
PARTS = 4
"""Tests that all requests are shared among, a few minutes each."""
TOLERANCE = 1e-3
"""Of log probabilities: the two servers' batches are the same, their arithmetic may be ordered otherwise."""
FLAGS = ["--max-model-len", "2048", "--dtype", "float32", "--no-enable-prefix-caching"]
VLLM_FLAGS = ["--reasoning-parser", "glm45", "--tool-call-parser", "glm45", "--enable-auto-tool-choice"]


@dataclass
class Servers:
    """The two, on one engine."""

    vllm: httpx.AsyncClient
    channel: grpc.aio.Channel
    llm: Any
    forms: Any
    """vLLM's settings of forms, which palaver's engine keeps from it because it compiles them itself."""

    async def of_vllm(self, body: dict[str, Any]) -> httpx.Response:
        self.llm.input_processor.structured_outputs_config = self.forms
        try:
            return await self.vllm.post("/v1/chat/completions", json=body)
        finally:
            self.llm.input_processor.structured_outputs_config = None


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def servers() -> AsyncIterator[Servers]:
    async def find_model(report: ReportProgress) -> str:
        return str(TINY_GLM)

    engine = VllmEngine(find_model, model_id="glm", flags=FLAGS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        await engine.load(lambda progress: None)
    from vllm.tool_parsers import ToolParserManager  # noqa: PLC0415  # it takes seconds

    with pytest.MonkeyPatch.context() as patch:
        # vLLM holds every GLM to the layout of GLM-4.7, in which GLM-4.5 cannot write an argument.
        patch.setattr(ToolParserManager.get_tool_parser("glm45"), "default_tool_strict_level", None)
        async with _palaver(engine) as channel:
            llm = engine._loaded().llm
            async with (
                vllm_app(llm, TINY_GLM, "glm", VLLM_FLAGS) as url,
                httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as vllm,
            ):
                yield Servers(vllm, channel, llm, llm.vllm_config.structured_outputs_config)
    await engine.shutdown()


@asynccontextmanager
async def _palaver(engine: VllmEngine) -> AsyncIterator[grpc.aio.Channel]:
    settings = load_settings(engine="scripted", listen="127.0.0.1:0", grace=0.0, keys_file="/nonexistent/keys.json")
    announced = Announced()
    app = App(settings, Loaded(engine), announced)  # type: ignore[arg-type]  # what it lacks, it passes on
    running = asyncio.create_task(app.run())
    address = await announced.address
    await announced.is_ready.wait()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield channel
    finally:
        app.ask_to_stop()
        await running


async def test_every_accepted_difference_is_still_there(servers, capsys):
    for difference in DIFFERENCES:
        examples = [case for case in all_cases() if case.name.startswith(difference.example)]
        assert difference.name in await compare(servers, examples, capsys), difference.name


async def test_some_requests_are_answered_as_by_vllm(servers, capsys):
    cases = all_cases()
    await compare(servers, cases[:: len(cases) // QUICK][:QUICK], capsys)


@pytest.mark.thorough
@pytest.mark.parametrize("part", range(PARTS))
async def test_every_request_is_answered_as_by_vllm(servers, part, capsys):
    cases = all_cases()
    assert len(cases) >= 200
    await compare(servers, cases[part::PARTS], capsys)


async def compare(servers: Servers, cases: list[Case], capsys: Any) -> Counter[str]:
    """Send every request in every form, and fail with all that nobody has explained."""
    unexplained: list[str] = []
    used: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    for case in cases:
        body = {"model": "glm", "temperature": 0, **case.body}
        theirs = await _answers_of_vllm(servers, body)
        ours = await _answers_of_palaver(servers, body)
        sent.update([*(f"vLLM {form}" for form in theirs), *ours])
        for form, view in ours.items():
            if view != ours["OpenAI, whole"] and not _is_close(view, ours["OpenAI, whole"]):
                unexplained.append(f"{case.name}: {form} is not what palaver answers whole: {view}")
        for form, streamed in (("whole", "OpenAI, whole"), ("streamed", "OpenAI, streamed")):
            for field in _differing(ours[streamed], theirs[form]):
                found = next(
                    (one for one in DIFFERENCES if one.explains(case, field, ours[streamed], theirs[form])), None
                )
                if found is None:
                    unexplained.append(
                        f"{case.name}, {form}, {field}:\n  palaver {_get(ours[streamed], field)!r}"
                        f"\n  vLLM    {_get(theirs[form], field)!r}"
                    )
                else:
                    used[found.name] += 1
    with capsys.disabled():
        print(f"\n{len(cases)} requests: {dict(sent)}; accepted differences: {dict(used)}")  # noqa: T201  # the counts are a part of what it shows
    assert not unexplained, f"{len(unexplained)} differences:\n" + "\n".join(unexplained[:40])
    return used


async def _answers_of_vllm(servers: Servers, body: dict[str, Any]) -> dict[str, View]:
    whole = await servers.of_vllm(body)
    assert whole.status_code == 200, (body, whole.text)
    streamed = await servers.of_vllm(_streamed(body))
    return {"whole": views.of_document(whole.json()), "streamed": views.of_chunks(streamed.text)}


async def _answers_of_palaver(servers: Servers, body: dict[str, Any]) -> dict[str, View]:
    typed = request_from_body(Body.model_validate(body)).chat
    stub: Any = chat_service_pb2_grpc.ChatServiceStub(servers.channel)
    found = {
        "OpenAI, whole": views.of_document(await openai_calls.answer(servers.channel, body)),
        "OpenAI, streamed": views.of_chunks(await openai_calls.text_of_events(servers.channel, _streamed(body))),
    }
    if body.get("seed", 0) < 2**31:
        stream = stub.StreamChat(chat_service_pb2.StreamChatRequest(chat=typed))
        found["typed, whole"] = views.of_response(await stub.Chat(typed))
        found["typed, streamed"] = views.of_events([event async for event in stream])
    return found


def _streamed(body: dict[str, Any]) -> dict[str, Any]:
    # vLLM has no place for a prompt's log probabilities in a stream.
    kept = {name: value for name, value in body.items() if name != "prompt_logprobs"}
    return {**kept, "stream": True, "stream_options": {"include_usage": True}}


FIELDS = ("usage", *(one.name for one in fields(Choice)))


def _get(view: View, field: str) -> Any:
    return view.usage if field == "usage" else [getattr(choice, field) for choice in view.choices]


def _differing(ours: View, theirs: View) -> Iterable[str]:
    if len(ours.choices) != len(theirs.choices):
        yield "choices"
        return
    for field in FIELDS:
        our, their = _get(ours, field), _get(theirs, field)
        if field == "calls":
            our, their = ([[(n, _json(a)) for n, a in calls] for calls in one] for one in (our, their))
        if our != their and not (field in ("logprobs", "alternatives") and _near(our, their)):
            yield field


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _near(ours: Any, theirs: Any) -> bool:
    """Whether two nested lists have the same shape and words, and numbers that are almost the same."""
    if isinstance(ours, float | int) and isinstance(theirs, float | int):
        return math.isclose(ours, theirs, abs_tol=TOLERANCE)
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(_near, ours, theirs))
    return bool(ours == theirs)


def _is_close(ours: View, theirs: View) -> bool:
    return len(ours.choices) == len(theirs.choices) and not list(_differing(ours, theirs))
