"""vLLM's processor of the engine's outputs, for outputs that bring several tokens at once.

The engine core bundles the tokens of many streams (``bundling``). vLLM's processor takes such outputs as they are, as
it does those of speculative decoding, but would turn each token into text by itself, and take the time between two
outputs for that between two tokens.
"""

from __future__ import annotations

from typing import Any

from vllm.v1.engine import EngineCoreOutput, EngineCoreRequest
from vllm.v1.engine.detokenizer import FastIncrementalDetokenizer
from vllm.v1.engine.output_processor import (
    OutputProcessor,
    OutputProcessorOutput,
    RequestOutputCollector,
    RequestState,
)
from vllm.v1.engine.parallel_sampling import ParentRequest
from vllm.v1.metrics.stats import IterationStats

from palaver_server.engine.vllm.answer.detokenizer import BundleDetokenizer
from palaver_server.engine.vllm.answer.plain_state import PlainState, is_plain


class BundleProcessor(OutputProcessor):
    """Stands in the place of vLLM's ``OutputProcessor``."""

    def add_request(
        self,
        request: EngineCoreRequest,
        prompt: str | None,
        parent_req: ParentRequest | None = None,
        request_index: int = 0,
        queue: RequestOutputCollector | None = None,
    ) -> None:
        """Add a request; see ``OutputProcessor.add_request``."""
        super().add_request(request, prompt, parent_req, request_index, queue)
        state: Any = self.request_states[request.request_id]
        if type(state.detokenizer) is FastIncrementalDetokenizer:
            state.detokenizer.__class__ = BundleDetokenizer
        if is_plain(state):
            state.__class__ = PlainState

    def process_outputs(
        self,
        engine_core_outputs: list[EngineCoreOutput],
        engine_core_timestamp: float | None = None,
        iteration_stats: IterationStats | None = None,
        weight_version: str | None = None,
    ) -> OutputProcessorOutput:
        """Hand a step's outputs on to who waits for them; see ``OutputProcessor.process_outputs``."""
        states, about = self.request_states, (engine_core_timestamp, iteration_stats, weight_version)
        others = [
            output
            for output in engine_core_outputs
            if not (isinstance(state := states.get(output.request_id), PlainState) and state.hand_on(output, *about))
        ]
        return super().process_outputs(others, *about)

    def _update_stats_from_output(
        self,
        req_state: RequestState,
        engine_core_output: EngineCoreOutput,
        engine_core_timestamp: float | None,
        iteration_stats: IterationStats | None,
    ) -> None:
        super()._update_stats_from_output(req_state, engine_core_output, engine_core_timestamp, iteration_stats)
        count = len(engine_core_output.new_token_ids)
        if count > 1 and iteration_stats is not None and not req_state.is_prefilling:
            latencies = iteration_stats.inter_token_latencies_iter
            latencies[-1:] = [latencies[-1] / count] * count
