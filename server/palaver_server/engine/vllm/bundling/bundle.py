"""What waits in the engine core for one front end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs
from vllm.v1.metrics.stats import SchedulerStats
from vllm.v1.request import Request

from palaver_server.engine.vllm.bundling.pace import Pace
from palaver_server.engine.vllm.core_output import is_only_tokens

BEGINNING_TOKENS = 3
"""Of an answer. Where GLM-4.5 thinks, the third is the first that a reader sees, behind a line break and a mark."""


class Bundle:
    """Takes each step's outputs in, and gives out what is to be sent.

    Only what is nothing but tokens waits. The first tokens of an answer go out at once and so does its end, with all
    that waits of it; so do log probabilities, the statistics of a step that say more than how things stand, and the
    tokens of an answer that a stop sequence may end, which only the front end sees.

    Args:
        requests: the engine's, by id.
        pace: says how many steps go together.
    """

    def __init__(self, requests: Mapping[str, Request], pace: Pace) -> None:
        self._requests = requests
        self._pace = pace
        self._held: dict[str, EngineCoreOutput] = {}
        self._step_count = 0
        self._last: EngineCoreOutputs | None = None
        self._weight_version: str | None = None
        self.since: float | None = None
        """When the first of what waits was made, on the clock of ``time.monotonic``; None where nothing waits."""

    def add(self, step: EngineCoreOutputs) -> list[EngineCoreOutputs]:
        """Take the outputs of a step, and give what is to be sent now, in order."""
        # A message names the one version of the weights that its tokens are of.
        before = []
        if step.outputs and step.weight_version != self._weight_version:
            before = [self.take()] if self._held else []
            self._weight_version = step.weight_version
        at_once = self._hold(step.outputs)
        self._pace.step(step.timestamp, len(step.outputs))
        if self._held:
            self._step_count += 1
            if self.since is None:
                self.since = step.timestamp
            if self._pace.is_full(self._step_count, step.timestamp - self.since):
                at_once += self._held.values()
                self._empty()
        elif self.since is not None:
            self._empty()
        step.outputs = at_once
        if at_once or not self._held or _says_more(step):
            return [*before, step]
        self._last = step
        return before

    def take(self) -> EngineCoreOutputs:
        """Give all that waits."""
        outputs = EngineCoreOutputs(outputs=list(self._held.values()), weight_version=self._weight_version)
        if self._last is not None:
            outputs.scheduler_stats, outputs.timestamp = self._last.scheduler_stats, self._last.timestamp
        self._empty()
        return outputs

    def _hold(self, outputs: list[EngineCoreOutput]) -> list[EngineCoreOutput]:
        """Keep what may wait; give the others, each with what has waited of its answer."""
        at_once = []
        for output in outputs:
            if (before := self._held.pop(output.request_id, None)) is not None:
                output.new_token_ids = before.new_token_ids + output.new_token_ids
            if self._may_wait(output):
                self._held[output.request_id] = output
            else:
                at_once.append(output)
        return at_once

    def _empty(self) -> None:
        self._held.clear()
        self._step_count, self.since, self._last = 0, None, None

    def _may_wait(self, output: EngineCoreOutput) -> bool:
        request = self._requests.get(output.request_id)
        return (
            request is not None
            and request.num_output_tokens - len(output.new_token_ids) >= BEGINNING_TOKENS
            and not (request.sampling_params is None or request.sampling_params.stop)
            and is_only_tokens(output)
        )


def _says_more(step: EngineCoreOutputs) -> bool:
    """Whether a step without outputs says what the next one will not say again."""
    stats = step.scheduler_stats
    if stats is not None:
        how_things_stand = replace(
            SchedulerStats(),
            num_running_reqs=stats.num_running_reqs,
            num_waiting_reqs=stats.num_waiting_reqs,
            num_skipped_waiting_reqs=stats.num_skipped_waiting_reqs,
            num_kv_fetch_reqs_by_stage=stats.num_kv_fetch_reqs_by_stage,
            step_counter=stats.step_counter,
            current_wave=stats.current_wave,
            kv_cache_usage=stats.kv_cache_usage,
            waiting_lora_adapters=stats.waiting_lora_adapters,
            running_lora_adapters=stats.running_lora_adapters,
        )
        if stats != how_things_stand:
            return True
    return not (
        step.utility_output is None
        and step.finished_requests is None
        and step.wave_complete is None
        and step.start_wave is None
    )
