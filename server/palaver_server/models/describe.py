"""What a model folder holds, from its JSON files and the headers of its weights; no library is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palaver_server.models.checks import CONFIG, OTHER_WEIGHTS, check_folder, read_json, weight_files
from palaver_server.models.safetensors_header import read_header
from palaver_server.models.shape import ModelShape

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json", "*.tiktoken", "tiktoken.model")
CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length")
"""Names under which configurations tell the context length, the usual one first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """A model folder, described."""

    folder: Path
    architectures: tuple[str, ...]
    model_type: str | None
    context_length: int | None
    """Tokens, as the model's configuration says; None where it says nothing."""
    dtype: str | None
    """Of the configuration, such as ``bfloat16``."""
    quantization: str | None
    """The method, such as ``fp8``; None for plain weights."""
    parameter_count: int | None
    """Elements of the weights; None where weights are packed several to an integer, or are no safetensors."""
    weight_bytes: int
    weight_file_count: int
    vocabulary_size: int | None
    shape: ModelShape | None
    """What decides about memory; None where the configuration does not tell."""
    has_tokenizer: bool
    has_chat_template: bool
    has_generation_config: bool


def describe(folder: Path) -> ModelFiles:
    """Describe a whole model folder. Raises ModelFilesError if something in it is missing or damaged."""
    check_folder(folder)
    config = read_json(folder / CONFIG)
    # Models for more than text keep the language model's own values one level down.
    text = {**config, **_mapping(config.get("text_config"))}
    quantization = _mapping(config.get("quantization_config"))
    safetensors = weight_files(folder)
    weights = safetensors or sorted(path for pattern in OTHER_WEIGHTS for path in folder.glob(pattern))
    return ModelFiles(
        folder=folder,
        architectures=tuple(config["architectures"]),
        model_type=_text(config.get("model_type")),
        context_length=next((text[key] for key in CONTEXT_KEYS if isinstance(text.get(key), int)), None),
        dtype=_text(text.get("dtype") or text.get("torch_dtype")),
        quantization=_text(quantization.get("quant_method")) if quantization else None,
        parameter_count=_parameter_count(safetensors),
        weight_bytes=sum(path.stat().st_size for path in weights),
        weight_file_count=len(weights),
        vocabulary_size=text["vocab_size"] if isinstance(text.get("vocab_size"), int) else None,
        shape=ModelShape.of(text),
        has_tokenizer=any(next(folder.glob(pattern), None) for pattern in TOKENIZER_FILES),
        has_chat_template=_has_chat_template(folder),
        has_generation_config=(folder / "generation_config.json").is_file(),
    )


def _parameter_count(files: list[Path]) -> int | None:
    """Floating-point elements without the scales of quantised weights."""
    count = 0
    for path in files:
        for name, tensor in read_header(path).tensors.items():
            last = name.rpartition(".")[2]
            if last in {"qweight", "weight_packed"} or tensor.dtype in {"F4", "U8"}:
                return None
            if tensor.dtype[0] in "FB" and tensor.dtype != "BOOL" and "scale" not in last:
                count += tensor.element_count
    return count or None


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    try:
        return bool(read_json(folder / "tokenizer_config.json").get("chat_template"))
    except (OSError, ValueError):
        return False


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
