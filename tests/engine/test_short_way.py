"""The short way of outputs that are nothing but tokens: the same as vLLM's own way, told in fewer words."""

from __future__ import annotations

import asyncio
import random
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Histogram

with warnings.catch_warnings():  # vLLM's dependencies warn of each other while they are imported
    warnings.simplefilter("ignore")
    from vllm.outputs import CompletionOutput, RequestOutput
    from vllm.sampling_params import RequestOutputKind, SamplingParams
    from vllm.tokenizers import get_tokenizer
    from vllm.v1.engine import EngineCoreOutput, EngineCoreRequest, FinishReason
    from vllm.v1.engine.output_processor import OutputProcessor, RequestOutputCollector
    from vllm.v1.engine.parallel_sampling import ParentRequest
    from vllm.v1.metrics.stats import IterationStats

    from palaver_server.engine.vllm.answer.collector import Collector, Piece
    from palaver_server.engine.vllm.answer.latencies import observe_all
    from palaver_server.engine.vllm.answer.processor import BundleProcessor

TOKENIZER = get_tokenizer(Path(__file__).parents[1] / "models" / "tiny-glm")
TEXT = "Plain words, then \N{SNOWMAN}\N{PILE OF POO} and 漢字, \tspaces   and\n\nlines <|user|> marks. " * 4
TOKENS = TOKENIZER.encode(TEXT, add_special_tokens=False)


class Way:
    """One processor with one request."""

    def __init__(
        self, processor: type[OutputProcessor], *, choices: int = 1, knows_pieces: bool = True, **params: Any
    ) -> None:
        self.processor = processor(TOKENIZER, log_stats=True)
        params = {"output_kind": RequestOutputKind.DELTA, "max_tokens": 10**6, "n": choices, **params}
        request = EngineCoreRequest(
            request_id="asked",
            external_req_id="asked",
            prompt_token_ids=[5, 6],
            mm_features=None,
            sampling_params=SamplingParams(**params),
            pooling_params=None,
            arrival_time=0.0,
            lora_request=None,
            cache_salt=None,
            data_parallel_rank=None,
        )
        parent = ParentRequest(request) if choices > 1 else None
        self.collector = RequestOutputCollector(params["output_kind"], "asked")
        if processor is BundleProcessor and knows_pieces:
            Collector.adopt(self.collector)
        self.processor.add_request(request, None, parent, 0, self.collector)
        self.state = self.processor.request_states["asked"]
        self.latencies: list[float] = []
        self.token_count = 0
        self.told: list[tuple[str, list[int]]] = []
        self.pieces = 0
        self.end: tuple[Any, ...] = ()

    def step(self, now: float, tokens: list[int], version: str = "first", **more: Any) -> None:
        stats = IterationStats()
        self.processor.process_outputs([EngineCoreOutput("asked", list(tokens), **more)], now, stats, version)
        self.latencies += stats.inter_token_latencies_iter
        self.token_count += stats.num_generation_tokens

    def read(self) -> None:
        output: Any = self.collector.get_nowait()
        if output is None:
            return
        self.pieces += isinstance(output, Piece)
        completion = output if isinstance(output, Piece) else output.outputs[0]
        self.told.append((completion.text, list(completion.token_ids)))
        if not isinstance(output, Piece) and output.finished:
            self.end = (completion.finish_reason, completion.stop_reason, completion.weight_versions)


def both(**params: Any) -> tuple[Way, Way]:
    return Way(BundleProcessor, **params), Way(OutputProcessor, **params)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_comes_together_and_however_slowly_it_is_read_the_reader_is_told_the_same(seed: int) -> None:
    chance = random.Random(seed)
    ours, vllms = both(skip_special_tokens=chance.random() < 0.5)
    place, now = 0, 10.0
    while place < len(TOKENS):
        count = 1 if place == 0 else chance.randint(1, 9)
        tokens, place = TOKENS[place : place + count], place + count
        now += count * 0.01
        is_last = place >= len(TOKENS)
        version = "first" if place < len(TOKENS) // 2 else "second"
        more = {"finish_reason": FinishReason.LENGTH} if is_last else {}
        for way in (ours, vllms):
            way.step(now, tokens, version, **more)
        if is_last or chance.random() < 0.6:
            for way in (ours, vllms):
                way.read()
    # vLLM's own way looks at each token by itself, and may so tell a character's last byte with what follows.
    assert "".join(text for text, _ in ours.told) == "".join(text for text, _ in vllms.told)
    assert [tokens for _, tokens in ours.told] == [tokens for _, tokens in vllms.told]
    assert (ours.end, ours.token_count) == (vllms.end, vllms.token_count)
    assert sum(ours.latencies) == pytest.approx(sum(vllms.latencies))
    assert len(ours.latencies) == len(TOKENS) - 1
    ours_stats, vllms_stats = (asdict(way.state.stats) for way in (ours, vllms))  # type: ignore[arg-type]
    assert {**ours_stats, "first_token_latency": 0} == {**vllms_stats, "first_token_latency": 0}
    assert ours.processor.request_states == vllms.processor.request_states == {}


@pytest.mark.parametrize("ends_with_token", [True, False])
def test_an_answer_that_ends_within_a_character_has_lost_nothing_before_it(*, ends_with_token: bool) -> None:
    for end in range(6, 60):
        ours, vllms = both()
        for way in (ours, vllms):
            way.step(10.0, TOKENS[:1])
            if ends_with_token:
                way.step(10.1, TOKENS[1:end], finish_reason=FinishReason.LENGTH)
            else:
                way.step(10.1, TOKENS[1:end])
                way.step(10.2, [], finish_reason=FinishReason.ABORT)
            way.read()
        assert ours.told == vllms.told


def middle(**params: Any) -> Way:
    """A request that has had its first token, and reads a second output."""
    way = Way(BundleProcessor, **params)
    way.step(10.0, TOKENS[:1])
    way.read()
    way.step(10.1, TOKENS[1:4])
    way.read()
    return way


def test_the_middle_of_an_answer_goes_the_short_way() -> None:
    assert middle().pieces == 1


@pytest.mark.parametrize(
    "params",
    [
        {"stop": ["never"]},
        {"skip_special_tokens": False, "spaces_between_special_tokens": False},
        {"choices": 2, "temperature": 1.0},
        {"stream_interval": 2},
        {"output_kind": RequestOutputKind.FINAL_ONLY},
        {"knows_pieces": False},
    ],
    ids=str,
)
def test_what_wants_more_than_text_goes_vllms_own_way(params: dict[str, Any]) -> None:
    assert middle(**params).pieces == 0


def test_an_output_that_brings_more_than_tokens_goes_vllms_own_way() -> None:
    way = middle()
    way.step(10.2, TOKENS[4:5], stop_reason=7)
    way.read()
    assert way.pieces == 1
    assert len(way.told) == 3


def collector() -> Collector:
    return Collector.adopt(RequestOutputCollector(RequestOutputKind.DELTA, "asked"))


def whole(text: str, tokens: list[int], reason: str | None = None) -> RequestOutput:
    completion = CompletionOutput(0, text, tokens, None, None, finish_reason=reason)
    return RequestOutput("asked", None, [5, 6], None, [completion], finished=reason is not None)


async def test_what_waits_is_told_together_in_order() -> None:
    waiting = collector()
    waiting.put(whole("a", [1]))
    waiting.add("b", [2])
    waiting.add("c", [3, 4])
    first: Any = await waiting.get()
    assert (first.outputs[0].text, first.outputs[0].token_ids) == ("abc", [1, 2, 3, 4])
    waiting.add("d", [5])
    waiting.add("e", [6])
    waiting.put(whole("f", [7], "stop"))
    last: Any = await waiting.get()
    assert (last.outputs[0].text, last.outputs[0].token_ids, last.finished) == ("def", [5, 6, 7], True)


async def test_a_failure_is_told_before_what_waits_and_stays() -> None:
    waiting = collector()
    waiting.add("a", [1])
    waiting.put(ConnectionError("gone"))
    waiting.add("b", [2])
    with pytest.raises(ConnectionError, match="gone"):
        await waiting.get()


async def test_a_reader_that_leaves_does_not_take_what_comes_next_with_it() -> None:
    waiting = collector()
    reader = asyncio.create_task(waiting.get())
    await asyncio.sleep(0)
    reader.cancel()
    waiting.add("a", [1])
    await asyncio.gather(reader, return_exceptions=True)
    piece: Any = await waiting.get()
    assert piece.text == "a"


async def test_a_reader_is_woken_by_what_comes() -> None:
    waiting = collector()
    for take in (lambda: waiting.add("a", [1]), lambda: waiting.put(whole("b", [2]))):
        reader = asyncio.create_task(waiting.get())
        await asyncio.sleep(0)
        take()
        async with asyncio.timeout(5):
            assert await reader


def test_many_observations_are_those_of_one_by_one() -> None:
    chance = random.Random(1)
    values = [chance.choice([0.01, 0.025, 0.05, 1.0, 99.0]) for _ in range(500)]
    registry = CollectorRegistry()
    one, many = (Histogram(name, "test", buckets=[0.01, 0.05, 2.0], registry=registry) for name in ("one", "many"))
    for value in values:
        one.observe(value)
    observe_all(many, values)

    def told(name: str) -> list[tuple[Any, float]]:
        (metric,) = (metric for metric in registry.collect() if metric.name == name)
        return [
            (sample.name.removeprefix(name), sample.labels, pytest.approx(sample.value))  # type: ignore[misc]
            for sample in metric.samples
            if not sample.name.endswith("created")
        ]

    assert told("one") == told("many")
