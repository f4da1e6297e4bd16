"""What fits into the memory of GPUs: an estimate before anything is loaded, on the careful side.

vLLM measures the same at load and gives what is left to the KV cache, so an estimate decides only what has to be said
before: over how many GPUs the weights go, and how long conversations may be.
"""

from __future__ import annotations

from dataclasses import dataclass

from palaver_server.models.shape import ModelShape

GIB = 2**30
GRAPH_BYTES = GIB
"""CUDA graphs; vLLM's documentation tells of one to three GiB for all sizes, and of less for fewer sequences."""
RUNTIME_BYTES = GIB * 3 // 4
"""CUDA's context, the libraries' work spaces, buffers between GPUs."""
ACTIVATION_VECTORS = 16
"""Vectors of the hidden size that a layer holds for each token at once: the wide middle of its feed-forward network is
four to eight times as wide, and there are its input, its gate and its output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """What memory has to hold."""

    name: str
    weight_bytes: int
    context_length: int | None
    """Tokens; None where the model does not say."""
    shape: ModelShape | None
    """None where the configuration does not tell: then only the weights are counted."""
    quantization: str | None
    """The method by which the weights are quantised already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The GPUs' part of the bargain."""

    gpu_bytes: int
    """Of one GPU."""
    ways: int
    """GPUs that share each layer."""
    utilization: float
    """The part of each that the engine may take."""
    batched_tokens: int
    sequences: int
    has_graphs: bool = True

    def left_bytes(self, weight_bytes: int, shape: ModelShape) -> int:
        """What is left on each GPU for the KV cache; negative where not even the weights fit."""
        activations = self.batched_tokens * shape.hidden_size * ACTIVATION_VECTORS * 2
        # The first step of vLLM's own measurement samples for every sequence, in float32 and twice over.
        logits = self.sequences * shape.vocabulary_size * 4 * 2
        working = RUNTIME_BYTES + activations + logits + (GRAPH_BYTES if self.has_graphs else 0)
        return int(self.gpu_bytes * self.utilization) - weight_bytes // self.ways - working

    def kv_tokens(self, weight_bytes: int, shape: ModelShape, value_bytes: int = 2) -> int:
        """Tokens that the KV cache holds; 0 where the weights do not fit."""
        left = self.left_bytes(weight_bytes, shape)
        return max(0, left // shape.kv_bytes_per_token(self.ways, value_bytes))
