from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from palaver_server.models.catalogue import CATALOGUE, DEFAULT_MODEL, HubSource, WheelSource
from palaver_server.models.describe import describe
from palaver_server.models.errors import ModelFilesError


@pytest.fixture
def sharded(tmp_path: Path, write_sharded: Callable[[Path, int], Path]) -> Path:
    return write_sharded(tmp_path / "sharded", 3)


def configure(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_folder_is_described_from_its_files(sharded: Path) -> None:
    files = describe(sharded)
    assert files.architectures == ("LlamaForCausalLM",)
    assert (files.model_type, files.dtype, files.quantization) == ("llama", "bfloat16", None)
    assert (files.context_length, files.vocabulary_size) == (512, 300)
    assert files.parameter_count == 3 * (4 * 8 + 3)
    assert files.weight_file_count == 3
    assert files.weight_bytes == sum(path.stat().st_size for path in sharded.glob("*.safetensors"))
    assert (files.has_tokenizer, files.has_chat_template, files.has_generation_config) == (True, False, False)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("chat_template.jinja", "{{ messages }}"),
        ("chat_template.json", "{}"),
        ("tokenizer_config.json", '{"chat_template": "{{ messages }}"}'),
    ],
)
def test_a_chat_template_is_found_wherever_it_stands(sharded: Path, name: str, content: str) -> None:
    (sharded / name).write_text(content)
    assert describe(sharded).has_chat_template


def test_quantised_weights_are_told_by_their_method_and_counted_without_scales(sharded: Path) -> None:
    configure(sharded, quantization_config={"quant_method": "fp8"})
    second = sharded / "model-00002-of-00003.safetensors"
    tensors: dict[str, NDArray[Any]] = {"layer.2.a": np.ones((4, 8), np.float32), "layer.2.b": np.ones(3, np.float16)}
    save_file({**tensors, "layer.2.a_scale_inv": np.ones(4, np.float32)}, second)
    files = describe(sharded)
    assert (files.quantization, files.parameter_count) == ("fp8", 3 * 35)
    save_file({**tensors, "layer.2.qweight": np.ones(4, np.int32)}, second)
    assert describe(sharded).parameter_count is None


def test_the_language_model_inside_a_larger_one_is_described(sharded: Path) -> None:
    configure(
        sharded, text_config={"max_position_embeddings": 4096, "vocab_size": 9, "torch_dtype": "float16"}, dtype=None
    )
    files = describe(sharded)
    assert (files.context_length, files.vocabulary_size, files.dtype) == (4096, 9, "float16")


def test_values_of_a_wrong_type_are_left_out(sharded: Path) -> None:
    configure(sharded, model_type=7, max_position_embeddings="long", quantization_config=[], text_config=3)
    files = describe(sharded)
    assert (files.model_type, files.context_length, files.quantization) == (None, None, None)


def test_a_broken_folder_is_not_described(sharded: Path) -> None:
    (sharded / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(ModelFilesError, match="is missing"):
        describe(sharded)


def test_the_catalogue_begins_with_the_default_and_pins_what_is_fetched() -> None:
    assert next(iter(CATALOGUE)) == DEFAULT_MODEL
    for name, model in CATALOGUE.items():
        assert name == model.name
        assert model.active_parameter_count <= model.parameter_count
        if isinstance(model.source, WheelSource):
            hashes = (model.source.wheel_sha256, model.source.member_sha256, model.source.weights_sha256)
            assert all(digest and len(digest) == 64 for digest in hashes)
        else:
            assert isinstance(model.source, HubSource)
            assert model.source.repository in model.hint
