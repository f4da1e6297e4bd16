"""What one call has come to so far: its choices, their tokens, their ends."""

from __future__ import annotations

from dataclasses import replace

from vllm.logprobs import PromptLogprobs
from vllm.outputs import RequestOutput
from vllm.v1.metrics.stats import RequestStateStats

from palaver_server.core.events import ChoiceEnd, Delta, Finished, FinishReason, Timings, Usage
from palaver_server.engine.vllm.answer.collector import Output
from palaver_server.engine.vllm.errors import engine_unavailable, generation_failed
from palaver_server.engine.vllm.prompt.vllm_prompt import VllmPrompt


class Tally:
    """Takes vLLM's outputs in, gives deltas out, and sums the call up at its end."""

    def __init__(self, prompt: VllmPrompt) -> None:
        self._prompt = prompt
        self._stages = [prompt.new_stage(index) for index in range(prompt.params.n)]
        self._ends: dict[int, ChoiceEnd] = {}
        self._has_running_usage = prompt.request.response_options.running_usage
        self._cached_token_count: int | None = None
        self.prompt_logprobs: PromptLogprobs | None = None

    def take(self, completion: Output) -> Delta | None:
        """Feed an output to its choice; None while it shows as nothing."""
        delta = self._stages[completion.index].feed(completion)
        if delta is not None and self._has_running_usage:
            return replace(delta, usage=self._usage())
        return delta

    def see(self, output: RequestOutput) -> None:
        """Note what the first output tells about the whole call.

        Later choices find in the cache what the first one has just computed; that is no saving of the call.
        """
        self._cached_token_count = output.num_cached_tokens
        self.prompt_logprobs = output.prompt_logprobs

    def end(self, completion: Output, delta: Delta | None, *, has_timed_out: bool) -> Delta | None:
        """Take the end of a choice, and tell it with the choice's last delta where there are several choices.

        Args:
            completion: the choice's last output.
            delta: what ``take`` has made of it.
            has_timed_out: whether the request's time limit has passed.

        Raises:
            PalaverError: the engine gave it up, or failed.
        """
        if completion.index in self._ends:
            return delta
        end = _choice_end(completion, has_timed_out=has_timed_out)
        if end.finish_reason is FinishReason.STOP and self._stages[completion.index].has_calls:
            end = replace(end, finish_reason=FinishReason.TOOL_CALLS)
        self._ends[completion.index] = end
        if len(self._stages) > 1:
            delta = delta or Delta("", 0, completion.index)
            delta.end = end
        return delta

    def finish(self, output: RequestOutput) -> Finished:
        """Sum up, after the last output."""
        return Finished(
            choices=tuple(end for _, end in sorted(self._ends.items())),
            usage=self._usage(),
            timings=_timings(output.metrics),
            prompt_logprobs=self._prompt.convert_prompt_logprobs(self.prompt_logprobs) if self.prompt_logprobs else (),
        )

    def _usage(self) -> Usage:
        return Usage(
            self._prompt.prompt_token_count,
            sum(stage.token_count for stage in self._stages),
            self._cached_token_count or 0,
            sum(stage.reasoning_token_count for stage in self._stages),
        )


def _choice_end(completion: Output, *, has_timed_out: bool) -> ChoiceEnd:
    match completion.finish_reason:
        case "stop":
            # An end token has a number here, a stop sequence its text.
            match completion.stop_reason:
                case str() as sequence:
                    return ChoiceEnd(FinishReason.STOP, sequence, completion.index)
                case token_id:
                    return ChoiceEnd(FinishReason.STOP, None, completion.index, token_id)
        case "length":
            return ChoiceEnd(FinishReason.LENGTH, None, completion.index)
        case "repetition":
            return ChoiceEnd(FinishReason.REPETITION, None, completion.index)
        case "abort" if has_timed_out:
            return ChoiceEnd(FinishReason.TIME_LIMIT, None, completion.index)
        case "abort":
            # Nobody here asked for it: the engine is being ended.
            raise engine_unavailable()
        case _:
            raise generation_failed()


def _timings(stats: RequestStateStats | None) -> Timings:
    """Differences of the engine core's own clock; None for what did not happen or is not measured."""
    if stats is None or not stats.queued_ts:
        return Timings()

    def since_queued(moment: float) -> float | None:
        return moment - stats.queued_ts if moment else None

    return Timings(
        queue_seconds=since_queued(stats.scheduled_ts),
        first_token_seconds=since_queued(stats.first_token_ts),
        total_seconds=since_queued(stats.last_token_ts),
    )
