"""The model that is served, and how far its loading has come."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, unique


@unique
class LoadPhase(Enum):
    """The steps from a bound port to a model that answers, in their order."""

    STARTING = "starting"
    FETCHING = "fetching the model"
    """Model files are fetched or converted."""
    VERIFYING = "verifying the model"
    """Model files are compared with what is known of them."""
    STARTING_ENGINE = "starting the engine"
    LOADING_WEIGHTS = "loading the weights"
    PREPARING_ENGINE = "preparing the engine"
    """The KV cache is laid out, kernels are compiled."""
    WARMING_UP = "warming up"
    """A first generation runs, so that no user pays for it."""
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How far a load has come."""

    phase: LoadPhase
    fraction: float
    """0 to 1, an estimate. As reported: over fetching and verifying, then anew over all that the engine does. As told
    by ``Loading``: over the whole load, and it never goes back."""
    detail: str = ""
    """What is being done, for people. Holds no paths."""


@dataclass(frozen=True, slots=True)
class SamplingDefaults:
    """What the model's own generation configuration says; None where it says nothing."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    max_output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A model as clients see it."""

    model_id: str
    """The name that requests use, such as ``smollm2-135m-instruct`` or ``zai-org/GLM-4.5-Air``."""
    context_length: int | None = None
    """Prompt and output tokens together; None until loaded."""
    max_output_tokens: int | None = None
    """The most output tokens of one choice, as the operator decided; None until loaded."""
    architecture: str | None = None
    """The model class, such as ``LlamaForCausalLM``; None until loaded."""
    reads_tools: bool = False
    """Whether the model's tool calls are understood, so that requests may offer tools."""
    reads_thoughts: bool = False
    """Whether the model can think, and its thoughts are told from its speech."""
    holds_forms: bool = False
    """Whether answers can be held to a form."""
    defaults: SamplingDefaults = field(default_factory=SamplingDefaults)
    system_fingerprint: str = ""
    """A short mark of all that decides what the model says to a request; empty until loaded."""
    chat_template_sha256: str = ""
    """In hexadecimal digits; empty for a model without one."""
    tool_call_parser: str = ""
    """The engine's name of what reads tool calls out of answers; empty where nothing does."""
    reasoning_parser: str = ""
    """The engine's name of what tells thoughts from speech; empty where nothing does."""
