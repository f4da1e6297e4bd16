"""What of a model takes memory while it is served, from its configuration alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The sizes that a model's configuration tells."""

    layers: int
    """Those that keep keys and values."""
    attention_heads: int
    kv_heads: int
    head_size: int
    latent_size: int | None = None
    """Values kept for a token in a layer by multi-head latent attention (DeepSeek-V2, arXiv:2405.04434), which keeps a
    compressed vector in place of keys and values; None for other attention."""
    hidden_size: int
    vocabulary_size: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self | None:
        """Read ``config.json``. None where it does not tell, or tells of layers of several kinds."""
        heads, hidden = _count(config, "num_attention_heads", "n_head"), _count(config, "hidden_size", "n_embd")
        layers, vocabulary = _count(config, "num_hidden_layers", "n_layer"), _count(config, "vocab_size")
        if heads is None or hidden is None or layers is None or vocabulary is None:
            return None
        latent, rope = _count(config, "kv_lora_rank"), _count(config, "qk_rope_head_dim")
        return cls(
            layers=layers,
            attention_heads=heads,
            kv_heads=_count(config, "num_key_value_heads") or heads,
            head_size=_count(config, "head_dim") or hidden // heads,
            latent_size=latent + rope if latent and rope else None,
            hidden_size=hidden,
            vocabulary_size=vocabulary,
        )

    def kv_bytes_per_token(self, ways: int = 1, value_bytes: int = 2) -> int:
        """Bytes of the KV cache that one token takes on each of so many GPUs.

        An upper bound where layers have a window or share a cache. Heads are never divided, and a latent vector is
        kept by every GPU.

        Args:
            ways: of tensor parallelism.
            value_bytes: 2 for bfloat16, 1 for FP8.
        """
        if self.latent_size is not None:
            return self.layers * self.latent_size * value_bytes
        return 2 * self.layers * max(1, self.kv_heads // ways) * self.head_size * value_bytes

    def can_be_divided(self, ways: int) -> bool:
        """Whether vLLM can spread the attention heads over so many GPUs."""
        return self.attention_heads % ways == 0 and (self.kv_heads % ways == 0 or ways % self.kv_heads == 0)


def _count(config: Mapping[str, Any], *names: str) -> int | None:
    values = (config.get(name) for name in names)
    return next((value for value in values if isinstance(value, int) and value > 0), None)
