"""How many tokens of a stream go together: the engine core's queue and vLLM's processor of outputs, fed by hand."""

from __future__ import annotations

import asyncio
import queue
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

with warnings.catch_warnings():  # vLLM's dependencies warn of each other while they are imported
    warnings.simplefilter("ignore")
    from vllm.sampling_params import RequestOutputKind, SamplingParams
    from vllm.tokenizers import get_tokenizer
    from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs, EngineCoreRequest, FinishReason, UtilityOutput
    from vllm.v1.metrics.stats import IterationStats, PrefixCacheStats, SchedulerStats
    from vllm.v1.outputs import LogprobsLists

    from palaver_server.engine.vllm.answer.collector import Collector, Output, Piece
    from palaver_server.engine.vllm.answer.processor import BundleProcessor
    from palaver_server.engine.vllm.bundling.queue import BundlingQueue

MODEL = Path(__file__).parents[1] / "models" / "tiny-glm"
STEP_SECONDS = 0.005
FRONT_END = 0


class Told(NamedTuple):
    """What the reader of one stream gets."""

    outputs: Sequence[Output]
    finished: bool = False


class Bench:
    """An engine core's streams, a clock that is moved by hand, and the front end that reads what the core sends."""

    def __init__(self, max_delay_seconds: float, *, front_ends: int = 1) -> None:
        self.now = 100.0
        self.requests: dict[str, Any] = {}
        self.queue = BundlingQueue(queue.Queue(), self.requests, max_delay_seconds, clock=lambda: self.now)
        self.processor = BundleProcessor(get_tokenizer(MODEL), log_stats=True)
        self.queues: dict[str, Collector] = {}
        self.front_ends = front_ends
        self.messages: list[EngineCoreOutputs] = []
        self.latencies: list[float] = []
        self.times: list[float] = []
        self.sent_count = 0
        self.delays: list[float] = []
        """How long each token of the first stream was held back."""
        self._words = iter(range(10**9))

    def add(self, count: int, *, kind: RequestOutputKind = RequestOutputKind.DELTA, **params: Any) -> None:
        for _ in range(count):
            name = f"stream-{len(self.queues)}"
            request = EngineCoreRequest(
                request_id=name,
                external_req_id=name,
                prompt_token_ids=[5, 6],
                mm_features=None,
                sampling_params=SamplingParams(max_tokens=10**6, output_kind=kind, **params),
                pooling_params=None,
                arrival_time=0.0,
                lora_request=None,
                cache_salt=None,
                data_parallel_rank=None,
            )
            collector = self.queues[name] = Collector(kind, name)
            self.processor.add_request(request, None, None, 0, collector)
            self.requests[name] = SimpleNamespace(num_output_tokens=0, sampling_params=request.sampling_params)

    def step(self, *, seconds: float = STEP_SECONDS, finish: tuple[str, ...] = (), **more: Any) -> dict[str, Told]:
        """One token more for every stream; what readers get."""
        self.now += seconds
        token = 10 + next(self._words) % 50
        outputs = []
        for name, request in list(self.requests.items()):
            request.num_output_tokens += 1
            reason = FinishReason.LENGTH if name in finish else None
            if reason is not None:
                del self.requests[name]
            outputs.append(EngineCoreOutput(name, [token], finish_reason=reason, **more.get(name, {})))
        self.times.append(self.now)
        self.put(
            EngineCoreOutputs(
                outputs=outputs,
                timestamp=self.now,
                scheduler_stats=more.get("stats"),
                weight_version=more.get("version", "first"),
            )
        )
        return self.read()

    def put(self, outputs: EngineCoreOutputs) -> None:
        self.queue.put_nowait((FRONT_END, outputs))

    def read(self) -> dict[str, Told]:
        """Receive what has been sent."""
        while not self.queue._sent.empty():
            if (item := self.queue._sent.get()) is not None:
                self.receive(item)
        return self._taken()

    def receive(self, item: Any) -> None:
        index, message = item
        assert index == FRONT_END
        self.messages.append(message)
        stats = IterationStats()
        self.processor.process_outputs(message.outputs, message.timestamp, stats, message.weight_version)
        self.latencies += stats.inter_token_latencies_iter

    def _taken(self) -> dict[str, Told]:
        waiting: dict[str, Any] = {name: collector.get_nowait() for name, collector in self.queues.items()}
        taken = {
            name: Told((output,)) if isinstance(output, Piece) else Told(output.outputs, output.finished)
            for name, output in waiting.items()
            if output is not None
        }
        if "stream-0" in taken:
            sent = self.times[self.sent_count : self.sent_count + len(taken["stream-0"].outputs[0].token_ids)]
            self.delays += [self.now - time for time in sent]
            self.sent_count += len(sent)
        return taken


def crowd(max_delay_seconds: float = 0.04, streams: int = 64) -> Bench:
    """Streams that have been running for long enough."""
    bench = Bench(max_delay_seconds)
    bench.add(streams)
    for _ in range(100):
        bench.step()
    return bench


def sizes(bench: Bench, steps: int, **how: float) -> list[int]:
    """The number of tokens of each output of the first stream."""
    taken = [bench.step(**how).get("stream-0") for _ in range(steps)]
    return [len(output.outputs[0].token_ids) for output in taken if output is not None]


def until_held(bench: Bench) -> None:
    """Make steps until one token of each stream waits."""
    while not bench.step():
        pass
    bench.step()


def test_many_streams_go_together() -> None:
    assert set(sizes(crowd(), 60)) == {8}  # the first token waits for seven steps, 35 of the 40 ms


def test_streams_of_a_slow_model_go_singly_however_many_there_are() -> None:
    bench = crowd(0.1)
    sizes(bench, 60, seconds=0.15)
    assert set(sizes(bench, 20, seconds=0.15)) == {1}


def test_so_many_go_together_as_bring_the_messages_down_to_a_number() -> None:
    bench = crowd(0.5, streams=16)  # 16 tokens every 10 ms
    sizes(bench, 60, seconds=0.01)
    assert set(sizes(bench, 60, seconds=0.01)) == {4}


@pytest.mark.parametrize("streams", [1, 2, 7])
def test_few_streams_are_never_held_back(streams: int) -> None:
    assert set(sizes(crowd(0.1, streams=streams), 100, seconds=0.001)) == {1}


@pytest.mark.parametrize(("step_seconds", "tokens"), [(0.041, 2), (0.03, 2), (0.02, 3), (0.012, 5)])
def test_long_steps_are_bundled_as_far_as_the_bound_reaches(step_seconds: float, tokens: int) -> None:
    bench = crowd(0.05, streams=192)
    sizes(bench, 60, seconds=step_seconds)
    bench.delays = []
    assert set(sizes(bench, 40, seconds=step_seconds)) == {tokens}
    assert max(bench.delays) == pytest.approx((tokens - 1) * step_seconds)
    assert max(bench.delays) <= 0.05


def test_the_first_tokens_go_out_at_once_also_under_load() -> None:
    bench = crowd()
    until_held(bench)
    bench.add(1)
    taken = [bench.step() for _ in range(12)]
    counts = [None if (told := step.get("stream-64")) is None else len(told.outputs[0].token_ids) for step in taken]
    assert counts[:3] == [1] * 3  # a break, a mark, a word
    assert None in counts[3:]
    assert [set(step) for step in taken[:3]] == [{"stream-64"}] * 3  # the others go on waiting


def test_the_end_goes_out_at_once_with_what_waited_of_its_answer_alone() -> None:
    bench = crowd()
    until_held(bench)
    bench.step()
    taken = bench.step(finish=("stream-5",))
    assert set(taken) == {"stream-5"}
    assert taken["stream-5"].finished
    assert len(taken["stream-5"].outputs[0].token_ids) == 3


def test_an_answer_that_the_engine_gives_up_ends_with_what_waited_of_it() -> None:
    bench = crowd()
    until_held(bench)
    del bench.requests["stream-5"]
    bench.put(EngineCoreOutputs(outputs=[EngineCoreOutput("stream-5", [], finish_reason=FinishReason.ABORT)]))
    (completion,) = bench.read()["stream-5"].outputs
    assert (completion.finish_reason, len(completion.token_ids)) == ("abort", 1)


def test_what_may_be_ended_by_a_stop_sequence_goes_singly() -> None:
    bench = crowd()
    bench.add(1, stop=["never"])
    taken = [bench.step() for _ in range(20)]
    assert [len(one["stream-64"].outputs[0].token_ids) for one in taken] == [1] * 20


def test_log_probabilities_go_with_their_tokens() -> None:
    bench = crowd()
    bench.add(1, logprobs=0)
    lists = LogprobsLists(np.array([[1]]), np.array([[-1.0]]), np.array([1]), None)
    taken = [bench.step(**{"stream-64": {"new_logprobs": lists}})["stream-64"].outputs[0] for _ in range(20)]
    assert [len(one.token_ids) for one in taken] == [len(one.logprobs or ()) for one in taken] == [1] * 20


def test_bundles_lose_nothing_when_streams_come_and_go() -> None:
    bench, plain = Bench(0.04), Bench(1e-9)
    for each in (bench, plain):
        each.add(64)
    texts, token_ids = {bench: "", plain: ""}, {bench: [], plain: []}
    biggest = {bench: 0, plain: 0}
    for number in range(600):
        for each in (bench, plain):
            if number % 100 == 50:
                each.add(8)
            finish = ("stream-7",) if number == 599 else (f"stream-{10 + number // 20}",) if number % 20 == 0 else ()
            outputs = each.step(seconds=0.05 if number // 100 % 2 else STEP_SECONDS, finish=finish)
            if "stream-7" in outputs:
                (completion,) = outputs["stream-7"].outputs
                texts[each] += completion.text
                token_ids[each] += completion.token_ids
                biggest[each] = max(biggest[each], len(completion.token_ids))
    assert token_ids[bench] == token_ids[plain]
    assert texts[bench] == texts[plain]
    assert biggest[bench] > 4
    assert biggest[plain] == 1


def test_a_whole_answer_comes_once() -> None:
    bench = crowd()
    bench.add(1, kind=RequestOutputKind.FINAL_ONLY)
    assert not any("stream-64" in bench.step() for _ in range(30))
    (completion,) = bench.step(finish=("stream-64",))["stream-64"].outputs
    assert len(completion.token_ids) == 31


def test_vllms_figure_of_the_time_between_tokens_stays_one_of_tokens() -> None:
    bench = crowd()
    bench.latencies = []
    sizes(bench, 80)
    assert len(bench.latencies) == 80 * 64
    assert min(bench.latencies) == pytest.approx(STEP_SECONDS)
    assert max(bench.latencies) == pytest.approx(STEP_SECONDS)


def test_statistics_that_say_more_than_how_things_stand_are_told_at_once() -> None:
    bench = crowd()
    until_held(bench)
    bench.messages = []
    bench.step(stats=SchedulerStats(num_running_reqs=64, kv_cache_usage=0.5))
    assert bench.messages == []
    bench.step(stats=SchedulerStats(prefix_cache_stats=PrefixCacheStats(requests=1, queries=9, hits=4)))
    (message,) = bench.messages
    assert message.outputs == []
    assert message.scheduler_stats is not None
    assert message.scheduler_stats.prefix_cache_stats.queries == 9


def test_a_step_that_leaves_nothing_waiting_is_told() -> None:
    bench = Bench(0.04)
    bench.step(stats=SchedulerStats(num_waiting_reqs=3))
    (message,) = bench.messages
    assert message.scheduler_stats is not None
    assert message.scheduler_stats.num_waiting_reqs == 3


def test_a_message_has_tokens_of_one_version_of_the_weights_alone() -> None:
    bench = crowd()
    until_held(bench)
    bench.step()
    bench.messages = []
    bench.step(version="second")
    (message,) = bench.messages
    assert (message.weight_version, len(message.outputs[0].new_token_ids)) == ("first", 2)


def test_answers_to_questions_about_the_engine_wait_for_nothing() -> None:
    bench = crowd()
    until_held(bench)
    bench.messages = []
    bench.put(EngineCoreOutputs(utility_output=UtilityOutput(call_id=7)))
    bench.read()
    assert [message.utility_output and message.utility_output.call_id for message in bench.messages] == [7]


def test_what_is_for_the_coordinator_and_the_last_word_pass_through() -> None:
    bench = crowd()
    until_held(bench)
    for item in ((-1, EngineCoreOutputs()), b"ENGINE_CORE_DEAD"):
        bench.queue.put_nowait(item)
        assert bench.queue.get() == item


async def test_what_waits_goes_out_in_time_when_the_engine_stops_for_a_while() -> None:
    bench = crowd()
    until_held(bench)
    held_since = bench.now
    found: list[Any] = []
    sender = threading.Thread(target=lambda: found.append(bench.queue.get()), daemon=True)
    sender.start()
    async with asyncio.timeout(10):
        while not found:
            bench.now += 0.001
            await asyncio.sleep(0.001)
    sender.join()
    assert bench.now - held_since < 0.04 + 0.1  # the thread's own clock is the machine's
    bench.receive(found[0])
    assert len(bench.read()) == 64
