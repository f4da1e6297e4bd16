"""A short mark of all that decides what the engine says: OpenAI's ``system_fingerprint``.

Servers with the same mark give the same answer to the same request and seed, as far as batching allows; one thing that
differs makes another mark. It tells nothing about what it was made of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import vllm
from vllm.config import ModelConfig, VllmConfig

from palaver_server.core.options import GenerationOptions

LENGTH = 12
"""Hexadecimal digits: two of a million different servers have the same mark with a chance of 1 in 500."""
SAMPLE_BYTES = 64 * 1024
"""Read at both ends of a file of weights. Whole ones have hundreds of gigabytes; a header and the last tensor tell two
trainings apart."""
_WEIGHTS = (".safetensors", ".bin", ".pt", ".gguf")


def fingerprint(config: VllmConfig, template: str, defaults: GenerationOptions) -> str:
    """Make the mark, once a process.

    Args:
        config: what the engine runs.
        template: the chat template's text.
        defaults: the operator's, which complete a request's options.
    """
    model, parallel, speculative = config.model_config, config.parallel_config, config.speculative_config
    parts = {
        "weights": list(_weights(model)),
        "vllm": vllm.__version__,
        "dtype": str(model.dtype),
        "quantization": str(model.quantization),
        "kv_cache": str(config.cache_config.cache_dtype),
        "parallel": [parallel.tensor_parallel_size, parallel.pipeline_parallel_size, parallel.enable_expert_parallel],
        "speculative": None if speculative is None else [str(speculative.method), speculative.num_speculative_tokens],
        "template": template,
        "model_defaults": model.get_diff_sampling_param(),
        "defaults": asdict(defaults),
    }
    text = json.dumps(parts, sort_keys=True, default=str)
    return f"fp_{hashlib.sha256(text.encode()).hexdigest()[:LENGTH]}"


def _weights(model: ModelConfig) -> Iterator[str]:
    """What names the weights: the commit on the Hub, or of a folder the files themselves."""
    folder = Path(model.model)
    if not folder.is_dir():
        yield f"{model.model}@{model.revision}"
        return
    for file in sorted(folder.iterdir()):
        if file.suffix in _WEIGHTS or file.name in ("config.json", "tokenizer.json"):
            yield f"{file.name} {file.stat().st_size} {_sample(file)}"


def _sample(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        digest.update(content.read(SAMPLE_BYTES))
        content.seek(max(file.stat().st_size - SAMPLE_BYTES, 0))
        digest.update(content.read(SAMPLE_BYTES))
    return digest.hexdigest()
