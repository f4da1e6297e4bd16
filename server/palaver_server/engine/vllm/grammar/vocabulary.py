"""The model's vocabulary, as the engine's own compiler of forms sees it."""

from __future__ import annotations

from vllm.config import VllmConfig
from vllm.tokenizers import TokenizerLike
from vllm.v1.structured_output.backend_xgrammar import XgrammarBackend


def vocabulary(config: VllmConfig, tokenizer: TokenizerLike) -> str:
    """Write it as xgrammar does (``TokenizerInfo.serialize_json``). Takes a second for a large one.

    vLLM's backend makes it, with what vLLM knows of tokenizers that are not like others.
    """
    backend = XgrammarBackend(config, tokenizer=tokenizer, vocab_size=config.model_config.get_vocab_size())
    written: str = backend.compiler.compile_regex("a").tokenizer_info.serialize_json()
    return written
