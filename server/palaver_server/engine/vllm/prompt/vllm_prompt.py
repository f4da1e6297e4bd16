"""A request that vLLM will take: rendered, counted, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from palaver_server.core.events import Started
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.logprobs import TokenLogprob
from palaver_server.core.options import GenerationOptions

if TYPE_CHECKING:  # vLLM takes seconds to import
    from vllm.inputs import EngineInput
    from vllm.logprobs import PromptLogprobs
    from vllm.sampling_params import SamplingParams

    from palaver_server.engine.vllm.answer.delta_stage import Stage


@dataclass(frozen=True, slots=True)
class VllmPrompt:
    """Implements ``core.engine.Prompt``."""

    request: GenerationRequest
    options: GenerationOptions
    """Those in force."""
    engine_input: EngineInput
    params: SamplingParams
    hints: Mapping[str, Any]
    """Further arguments of ``AsyncLLM.generate``."""
    started: Started
    """The answer's first event."""
    new_stage: Callable[[int], Stage]
    """Makes the stage of the choice with an index."""
    convert_prompt_logprobs: Callable[[PromptLogprobs], tuple[TokenLogprob, ...]]
    ends_at: float | None
    """The event loop's time at which the request's time limit passes; None without one."""

    @property
    def prompt_token_count(self) -> int:
        """Tokens of the rendered conversation, template included."""
        return self.started.prompt_token_count

    @property
    def max_output_tokens(self) -> int:
        """The effective number, after defaults and clamping."""
        return self.started.max_output_tokens
