"""vLLM's processor of the engine's outputs, for outputs that bring several tokens at once.

The engine core bundles the tokens of many streams (``bundling``). vLLM's processor takes such outputs as they are, as
it does those of speculative decoding, but would turn each token into text by itself, and take the time between two
outputs for that between two tokens.
"""

from __future__ import annotations

from typing import Any

import tokenizers.decoders
from vllm.v1.engine import EngineCoreOutput, EngineCoreRequest
from vllm.v1.engine.detokenizer import FastIncrementalDetokenizer
from vllm.v1.engine.output_processor import OutputProcessor, RequestOutputCollector, RequestState
from vllm.v1.engine.parallel_sampling import ParentRequest
from vllm.v1.metrics.stats import IterationStats


class BundleDetokenizer(FastIncrementalDetokenizer):
    """Turns the tokens of one output into text together, where nothing has to be known of each of them."""

    def update(self, new_token_ids: list[int], stop_terminated: bool) -> str | None:
        """Take new tokens; see ``BaseIncrementalDetokenizer.update``. Return a stop sequence that they end."""
        if len(new_token_ids) == 1 or self.stop or not self.spaces_between_special_tokens:
            return super().update(new_token_ids, stop_terminated)
        self.token_ids.extend(new_token_ids)
        # The token that ended the answer is none of its text.
        shown = new_token_ids[:-1] if stop_terminated and not self.include_stop_str_in_output else new_token_ids
        if shown:
            self.output_text += self._text_of(shown)
        return None

    def _text_of(self, token_ids: list[int]) -> str:
        try:
            return self.stream.step(self.tokenizer, token_ids) or ""
        except Exception:  # noqa: BLE001  # the library has no other; vLLM's own way tells a token's faults apart
            self.stream = tokenizers.decoders.DecodeStream(skip_special_tokens=self.skip_special_tokens)
            return "".join(self.decode_next(token_id) for token_id in token_ids)


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
        detokenizer: Any = self.request_states[request.request_id].detokenizer
        if type(detokenizer) is FastIncrementalDetokenizer:
            detokenizer.__class__ = BundleDetokenizer  # made by vLLM, and the same but for one method

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
