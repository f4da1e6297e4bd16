from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from safetensors import safe_open

import palaver_server
from palaver_server.models import conversion
from palaver_server.models.conversion import convert_gguf
from palaver_server.models.describe import describe
from palaver_server.models.errors import ModelFilesError, ModelFilesReason
from palaver_server.models.progress import ignore

WIDTH, HIDDEN, BLOCKS, HEADS = 64, 128, 2, 2
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


@pytest.fixture(scope="module")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real Llama of two blocks with Q4_1 weights, as the embedded model's are."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    letters = [chr(code) for code in range(33, 127)]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *letters, "Ġ", "Ċ", "he"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(256)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_block_count(BLOCKS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (len(tokens) - 3))
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    random = np.random.default_rng(7)
    shapes = {"token_embd": (len(tokens), WIDTH)}
    for block in range(BLOCKS):
        shapes |= {f"blk.{block}.attn_{name}": (WIDTH, WIDTH) for name in ("q", "k", "v", "output")}
        shapes |= {f"blk.{block}.ffn_{name}": (HIDDEN, WIDTH) for name in ("gate", "up")}
        shapes[f"blk.{block}.ffn_down"] = (WIDTH, HIDDEN)
    for name, shape in shapes.items():
        packed = gguf.quants.quantize(random.normal(size=shape).astype(np.float32), gguf.GGMLQuantizationType.Q4_1)
        writer.add_tensor(f"{name}.weight", packed, raw_dtype=gguf.GGMLQuantizationType.Q4_1)
    for name in ["output_norm", *(f"blk.{b}.{n}_norm" for b in range(BLOCKS) for n in ("attn", "ffn"))]:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_file_becomes_a_folder_that_vllm_loads(tiny_gguf: Path, tmp_path: Path, reports: Any) -> None:
    target = tmp_path / "model"
    target.mkdir()
    made_with = convert_gguf(tiny_gguf, target, reports)
    assert set(made_with) == {"transformers", "torch", "gguf", "safetensors"}
    assert reports.texts.splitlines() == [
        "Loading the converter",
        "Reading the tokenizer",
        "Reading the weights",
        "Writing the model",
    ]
    files = describe(target)
    assert files.architectures == ("LlamaForCausalLM",)
    assert (files.dtype, files.quantization, files.context_length) == ("bfloat16", None, 256)
    assert files.has_tokenizer
    assert files.has_chat_template
    assert files.has_generation_config
    assert (target / "chat_template.jinja").read_text() == TEMPLATE
    with safe_open(target / "model.safetensors", framework="pt") as weights:
        embedding = weights.get_tensor("model.embed_tokens.weight")
    packed = next(t for t in gguf.GGUFReader(tiny_gguf).tensors if t.name == "token_embd.weight")
    expected = gguf.quants.dequantize(packed.data, gguf.GGMLQuantizationType.Q4_1)
    assert str(embedding.dtype) == "torch.bfloat16"
    # bfloat16 keeps 8 bits of a float's 24, so rounding is off by at most 2**-8 of the value.
    np.testing.assert_allclose(embedding.float().numpy(), expected, rtol=2**-8)


CHILDREN = {
    "missing library": ("say(missing='gguf')\nsys.exit(1)", ModelFilesReason.CONVERTER_MISSING, "needs gguf, not"),
    "full disk": (
        "say(step=3)\nsay(error='SafetensorError: I/O error: No space left on device (os error 28)')\nsys.exit(1)",
        ModelFilesReason.NO_SPACE,
        "is full",
    ),
    "library's error": (
        "say(step=2)\nsay(error='ValueError: wrong magic')\nsys.exit(1)",
        ModelFilesReason.CONVERSION_FAILED,
        "while reading the weights: ValueError: wrong magic.$",
    ),
    "out of memory": (
        "say(step=2)\nos.kill(os.getpid(), 9)",
        ModelFilesReason.CONVERSION_FAILED,
        "was killed, most likely for want of memory",
    ),
    "crash": ("os.kill(os.getpid(), 6)", ModelFilesReason.CONVERSION_FAILED, "was ended by SIGABRT"),
    "words": ("print('[1, 2]')\nprint('oh no')\nsys.exit(3)", ModelFilesReason.CONVERSION_FAILED, "converter: oh no.$"),
    "nothing": ("sys.exit(3)", ModelFilesReason.CONVERSION_FAILED, "status 3"),
}


@pytest.mark.parametrize("child", CHILDREN)
def test_a_failing_conversion_ends_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, child: str) -> None:
    body, reason, sentence = CHILDREN[child]
    script = tmp_path / "convert.py"
    script.write_text(f"import json, os, sys\ndef say(**m): print(json.dumps(m), flush=True)\n{body}\n")
    monkeypatch.setattr(conversion, "SCRIPT", script)
    with pytest.raises(ModelFilesError, match=sentence) as caught:
        convert_gguf(tmp_path / "x.gguf", tmp_path, ignore)
    assert caught.value.reason is reason


def test_a_converter_ends_when_its_parent_is_gone(tiny_gguf: Path, tmp_path: Path) -> None:
    target = tmp_path / "model"
    output = tmp_path / "output"
    arguments = [sys.executable, str(conversion.SCRIPT), str(tiny_gguf), str(target)]
    # The output stays open, unlike a dead parent's: the end of standard input alone must end it.
    with output.open("wb") as file, subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=file) as converter:
        assert converter.stdin is not None
        converter.stdin.close()
        assert converter.wait(30) == 1
    assert "made_with" not in output.read_text()
    assert not target.exists()


def test_what_the_conversion_needs_is_looked_for_without_importing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "NEEDED_MODULES", ("json", "no_such_module"))
    with pytest.raises(ModelFilesError, match="needs no_such_module, not installed here"):
        conversion.require_converter()


def test_nothing_heavy_is_imported_to_list_models() -> None:
    code = (
        "import json, sys, palaver_server.cli.models;"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(palaver_server.__file__).parents[1])}
    output = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert {"torch", "transformers", "vllm", "grpc", "numpy", "huggingface_hub"} & set(
        json.loads(output.stdout)
    ) == set()
