"""A request that vLLM will take: rendered, counted, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # vLLM takes seconds to import
    from vllm.inputs import EngineInput
    from vllm.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True)
class VllmPrompt:
    """Implements ``core.engine.Prompt``."""

    request_id: str
    field_prefix: str
    engine_input: EngineInput
    params: SamplingParams
    prompt_token_count: int
    max_output_tokens: int
    ends_at: float | None
    """The event loop's time at which the request's time limit passes; None without one."""
