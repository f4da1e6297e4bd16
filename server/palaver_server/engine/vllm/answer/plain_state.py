"""The short way of an output that brings tokens and nothing else, from the engine core to the request's reader.

vLLM makes two objects with some thirty fields of each output, after it has asked about each field. Most outputs are of
the middle of an answer of which nobody wants more than the text.
"""

from __future__ import annotations

from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine import EngineCoreOutput
from vllm.v1.engine.output_processor import RequestState
from vllm.v1.metrics.stats import IterationStats

from palaver_server.engine.vllm.answer.collector import Collector
from palaver_server.engine.vllm.answer.detokenizer import BundleDetokenizer
from palaver_server.engine.vllm.core_output import is_only_tokens


def is_plain(state: RequestState) -> bool:
    """Whether the outputs of a request, by what vLLM has made of it, may go the short way."""
    return (
        state.output_kind is RequestOutputKind.DELTA
        and state.parent_req is None
        and state.stream_interval <= 1
        and not state.streaming_input
        and isinstance(state.detokenizer, BundleDetokenizer)
        and state.detokenizer.is_plain
    )


class PlainState(RequestState):
    """vLLM's state of a request that ``is_plain``. Made by vLLM; its class is set afterwards."""

    detokenizer: BundleDetokenizer

    def hand_on(
        self,
        output: EngineCoreOutput,
        timestamp: float | None,
        iteration_stats: IterationStats | None,
        weight_version: str | None,
    ) -> bool:
        """Give an output of this request to its reader; False, and nothing is done, where that takes vLLM's own way.

        It does where an output brings more than tokens, and where whoever reads knows no pieces.

        The arguments are those of ``OutputProcessor.process_outputs``.
        """
        token_ids = output.new_token_ids
        collector = self.queue
        if not isinstance(collector, Collector) or self.is_prefilling or not token_ids or not is_only_tokens(output):
            return False
        starts = self.weight_version_starts
        if weight_version is not None and not (starts and starts[-1][0] == weight_version):
            return False
        # In one place what vLLM's statistics take three calls for; that they are the same is tested.
        if iteration_stats is not None and timestamp is not None and self.stats is not None:
            count = len(token_ids)
            seconds = (timestamp - self.stats.last_token_ts) / count
            iteration_stats.num_generation_tokens += count
            iteration_stats.inter_token_latencies_iter += [seconds] * count
            self.stats.num_generation_tokens += count
            self.stats.last_token_ts = timestamp
        self.detokenizer.update(token_ids, stop_terminated=False)
        collector.add(self.detokenizer.get_next_output_text(finished=False, delta=True), token_ids)
        return True
