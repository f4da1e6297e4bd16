"""How many tokens of a stream go together: vLLM's own processor of outputs, fed by hand."""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path

import pytest

with warnings.catch_warnings():  # vLLM's dependencies warn of each other while they are imported
    warnings.simplefilter("ignore")
    from vllm.outputs import RequestOutput
    from vllm.sampling_params import RequestOutputKind, SamplingParams
    from vllm.tokenizers import get_tokenizer
    from vllm.v1.engine import EngineCoreOutput, EngineCoreRequest, FinishReason
    from vllm.v1.engine.output_processor import OutputProcessor, RequestOutputCollector

    from palaver_server.engine.vllm.answer.pace import Pace

MODEL = Path(__file__).parents[1] / "models" / "tiny-glm"
STEP_SECONDS = 0.005


class Bench:
    """Streams of one processor, a clock that is moved by hand, and a thread that is as busy as it is told."""

    def __init__(self, max_delay_seconds: float, *, stream_interval: int = 1, engine_count: int = 1) -> None:
        self.now = 100.0
        self.busy_seconds = 0.0
        self.pace = Pace(max_delay_seconds, clock=lambda: self.now, cpu_clock=lambda: self.busy_seconds)
        self.processor = OutputProcessor(get_tokenizer(MODEL), log_stats=False, stream_interval=stream_interval)
        self.pace.govern(self.processor, engine_count)
        self.queues: dict[str, RequestOutputCollector] = {}
        self.words = iter(range(10**9))
        self.times: list[float] = []
        self.sent_count = 0
        self.delays: list[float] = []
        """How long each token of the first stream was held back."""

    def add(
        self, count: int, *, kind: RequestOutputKind = RequestOutputKind.DELTA, interval: int | None = None
    ) -> None:
        for _ in range(count):
            name = f"stream-{len(self.queues)}"
            params = SamplingParams(max_tokens=10**6, output_kind=kind, stream_interval=interval)
            request = EngineCoreRequest(
                request_id=name,
                external_req_id=name,
                prompt_token_ids=[5, 6],
                mm_features=None,
                sampling_params=params,
                pooling_params=None,
                arrival_time=0.0,
                lora_request=None,
                cache_salt=None,
                data_parallel_rank=None,
            )
            queue = self.queues[name] = RequestOutputCollector(kind, name)
            self.processor.add_request(request, None, None, 0, queue)

    def step(self, *, share: float, seconds: float = STEP_SECONDS, finish: bool = False) -> dict[str, RequestOutput]:
        """One token more for every stream; what goes out."""
        self.now += seconds
        self.busy_seconds += share * seconds
        reason = FinishReason.LENGTH if finish else None
        token = 10 + next(self.words) % 50
        outputs = [EngineCoreOutput(name, [token], finish_reason=reason) for name in self.processor.request_states]
        self.processor.process_outputs(outputs, self.now, None)
        self.times.append(self.now)
        self.pace.step()
        taken = self.taken()
        if "stream-0" in taken:
            sent = self.times[self.sent_count : self.sent_count + len(taken["stream-0"].outputs[0].token_ids)]
            self.delays += [self.now - time for time in sent]
            self.sent_count += len(sent)
        return taken

    def taken(self) -> dict[str, RequestOutput]:
        waiting = {name: queue.get_nowait() for name, queue in self.queues.items()}
        return {name: output for name, output in waiting.items() if isinstance(output, RequestOutput)}


def crowd(max_delay_seconds: float = 0.04, **settings: int) -> Bench:
    """64 streams of a server that has long been busy."""
    bench = Bench(max_delay_seconds, **settings)
    bench.add(64)
    for _ in range(100):
        bench.step(share=0.5)
    return bench


def sizes(bench: Bench, steps: int, **how: float) -> list[int]:
    """The number of tokens of each output of the first stream."""
    taken = [bench.step(**{"share": 0.5, **how}).get("stream-0") for _ in range(steps)]
    return [len(output.outputs[0].token_ids) for output in taken if output is not None]


async def test_every_token_goes_out_at_once_while_the_server_has_time() -> None:
    bench = Bench(0.04)
    bench.add(64)
    for _ in range(100):
        assert len(bench.step(share=0.05)) == 64


async def test_one_stream_is_never_held_back_however_busy_the_server_is() -> None:
    bench = Bench(0.04)
    bench.add(1)
    assert [len(bench.step(share=0.9)) for _ in range(100)] == [1] * 100


async def test_many_streams_of_a_busy_server_are_bundled() -> None:
    assert set(sizes(crowd(), 60)) == {8}  # the first of them waits for seven steps, 35 of the 40 ms


@pytest.mark.parametrize(("step_seconds", "tokens"), [(0.041, 2), (0.03, 2), (0.02, 3), (0.012, 4)])
async def test_long_steps_are_bundled_as_far_as_the_bound_reaches(step_seconds: float, tokens: int) -> None:
    bench = crowd(0.05)
    sizes(bench, 40, seconds=step_seconds)
    before, bench.delays = bench.delays, []
    assert set(sizes(bench, 40, seconds=step_seconds)) == {tokens}
    assert before
    assert max(bench.delays) == pytest.approx((tokens - 1) * step_seconds)
    assert max(bench.delays) <= 0.05


async def test_the_first_token_goes_out_at_once_also_under_load() -> None:
    bench = crowd()
    bench.add(1)
    first = bench.step(share=0.5)["stream-64"].outputs[0]
    assert len(first.token_ids) == 1


async def test_the_last_tokens_go_out_with_the_end() -> None:
    bench = crowd()
    outputs = bench.step(share=0.5, finish=True)
    assert len(outputs) == 64
    assert all(output.finished for output in outputs.values())


async def test_bundles_lose_nothing_when_the_load_comes_and_goes() -> None:
    bench, plain = Bench(0.04), Bench(0.0)
    for each in (bench, plain):
        each.add(64)
    texts, token_ids = {bench: "", plain: ""}, {bench: [], plain: []}
    for number in range(600):
        for each in (bench, plain):
            outputs = each.step(share=0.5 if number // 100 % 2 else 0.01, finish=number == 599)
            if "stream-7" in outputs:
                (completion,) = outputs["stream-7"].outputs
                texts[each] += completion.text
                token_ids[each] += completion.token_ids
    assert token_ids[bench] == token_ids[plain]
    assert texts[bench] == texts[plain]


async def test_tokens_go_out_singly_again_when_the_load_is_gone() -> None:
    bench = crowd()
    sizes(bench, 200, share=0.01)
    assert set(sizes(bench, 20, share=0.01)) == {1}


async def test_a_slow_engine_s_tokens_are_never_held_back() -> None:
    bench = crowd()
    sizes(bench, 3, seconds=0.05)
    assert set(sizes(bench, 20, seconds=0.05)) == {1}


async def test_steps_of_several_engines_count_for_their_own_streams_alone() -> None:
    assert set(sizes(crowd(engine_count=2), 60)) == {4}


async def test_a_request_s_own_interval_is_kept() -> None:
    bench = crowd()
    bench.add(1, interval=4)
    taken = [bench.step(share=0.5).get("stream-64") for _ in range(21)]
    assert [len(output.outputs[0].token_ids) for output in taken if output is not None] == [1, 4, 4, 4, 4, 4]


async def test_the_operator_s_interval_is_kept() -> None:
    assert set(sizes(crowd(stream_interval=10), 60)) == {10}


async def test_a_whole_answer_comes_once() -> None:
    bench = crowd()
    bench.add(1, kind=RequestOutputKind.FINAL_ONLY)
    assert not any("stream-64" in bench.step(share=0.5) for _ in range(30))
    (completion,) = bench.step(share=0.5, finish=True)["stream-64"].outputs
    assert len(completion.token_ids) == 31


async def test_what_is_held_goes_out_in_time_when_the_engine_stops_for_a_while() -> None:
    bench = crowd()
    while bench.step(share=0.5):
        pass  # until a step after which tokens are held
    held_since = bench.now
    async with asyncio.timeout(10):
        while not (outputs := bench.taken()):
            bench.now += 0.001
            await asyncio.sleep(0.001)
    assert bench.now - held_since <= 0.04
    assert len(outputs) == 64


async def test_without_a_bound_above_zero_vllm_decides_alone() -> None:
    bench = crowd(0.0)
    assert bench.processor.stream_interval == 1
    assert set(sizes(bench, 30)) == {1}
