from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from palaver_server.models.checks import check_folder, problems
from palaver_server.models.errors import ModelFilesError, ModelFilesReason
from palaver_server.models.store import ModelStore

INDEX = "model.safetensors.index.json"
SECOND = "model-00002-of-00003.safetensors"

Write = Callable[..., Path]


def remove(*paths: Path) -> None:
    for path in paths:
        path.unlink()


def empty(folder: Path) -> None:
    remove(*folder.iterdir())


def keep_gguf_alone(folder: Path) -> None:
    empty(folder)
    (folder / "a.gguf").touch()


def make_folder_of_shard(folder: Path) -> None:
    (folder / SECOND).unlink()
    (folder / SECOND).mkdir()


def cut(folder: Path, name: str, length: int) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:length])


def swap_shards(folder: Path) -> None:
    first = folder / "model-00001-of-00003.safetensors"
    first.write_bytes((folder / SECOND).read_bytes())


def point_outside(folder: Path) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))


R = ModelFilesReason
BREAKAGES: dict[str, tuple[Callable[[Path], object], ModelFilesReason, str]] = {
    "empty folder": (empty, R.NOT_A_MODEL, "holds no config.json, so it is no model folder."),
    "only GGUF": (keep_gguf_alone, R.NOT_A_MODEL, "its GGUF files have to be converted"),
    "config is no JSON": (
        lambda f: (f / "config.json").write_text("{"),
        R.NOT_A_MODEL,
        "config.json .* it is no JSON.",
    ),
    "config is binary": (lambda f: (f / "config.json").write_bytes(b"\xff\x00"), R.NOT_A_MODEL, "it is no JSON."),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), R.NOT_A_MODEL, "it is no JSON object."),
    "config is deep": (lambda f: (f / "config.json").write_text("[" * 99999), R.NOT_A_MODEL, "it is no JSON."),
    "no architectures": (lambda f: (f / "config.json").write_text("{}"), R.NOT_A_MODEL, "names no `architectures`"),
    "no weights": (
        lambda f: remove(*f.glob("model*")),
        R.WEIGHTS_MISSING,
        r"holds no weights \(no \*.safetensors\)",
    ),
    "shard missing": (lambda f: remove(f / SECOND), R.WEIGHTS_MISSING, f"{SECOND} .*is missing"),
    "shard missing, no index": (
        lambda f: remove(f / SECOND, f / INDEX),
        R.WEIGHTS_MISSING,
        f"{SECOND} .*is missing",
    ),
    "shard truncated": (lambda f: cut(f, SECOND, 200), R.WEIGHTS_DAMAGED, rf"{SECOND} .*is truncated: it has 200 of"),
    "shard empty": (lambda f: cut(f, SECOND, 0), R.WEIGHTS_DAMAGED, f"{SECOND} .*is truncated: it has 0 bytes"),
    "shard is text": (
        lambda f: (f / SECOND).write_text("version https://git-lfs.github.com/spec/v1"),
        R.WEIGHTS_DAMAGED,
        f"{SECOND} .*is no safetensors file",
    ),
    "shard is another": (swap_shards, R.WEIGHTS_DAMAGED, "lacks 2 of the tensors .* such as layer.1.a"),
    "shard is a folder": (make_folder_of_shard, R.WEIGHTS_DAMAGED, "cannot be read"),
    "index is no JSON": (lambda f: (f / INDEX).write_text("oops"), R.WEIGHTS_DAMAGED, f"{INDEX} .*it is no JSON"),
    "index is empty": (lambda f: (f / INDEX).write_text("{}"), R.WEIGHTS_DAMAGED, "it has no `weight_map`"),
    "index points outside": (point_outside, R.WEIGHTS_DAMAGED, "it names a file outside the folder for a"),
}


@pytest.fixture
def sharded(tmp_path: Path, write_sharded: Write) -> Path:
    return write_sharded(tmp_path / "sharded", 3)


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_folder_ends_in_one_sentence_that_names_the_file(sharded: Path, breakage: str) -> None:
    check_folder(sharded)
    damage, reason, sentence = BREAKAGES[breakage]
    damage(sharded)
    with pytest.raises(ModelFilesError, match=sentence) as caught:
        check_folder(sharded)
    assert caught.value.reason is reason
    assert "\n" not in caught.value.message
    assert str(sharded) in caught.value.message


def test_all_problems_are_told_at_once(sharded: Path) -> None:
    cut(sharded, "model-00001-of-00003.safetensors", 20)
    (sharded / SECOND).unlink()
    assert [problem.file for problem in problems(sharded)] == ["model-00001-of-00003.safetensors", SECOND]


def test_pytorch_weights_are_left_to_vllm(sharded: Path) -> None:
    for path in sharded.glob("model*"):
        path.unlink()
    (sharded / "pytorch_model.bin").write_bytes(b"zip")
    check_folder(sharded)


def test_ensure_gives_a_whole_folder_as_it_is(store: ModelStore, sharded: Path) -> None:
    assert store.ensure(str(sharded)) == sharded


def test_ensure_names_the_truncated_shard_of_a_folder(store: ModelStore, sharded: Path) -> None:
    cut(sharded, SECOND, 100)
    with pytest.raises(ModelFilesError, match=SECOND) as caught:
        store.ensure(str(sharded))
    assert caught.value.reason is ModelFilesReason.WEIGHTS_DAMAGED


@pytest.mark.parametrize("name", ["zai-org/GLM-4.5-Air-FP8", "HuggingFaceTB/SmolLM2-135M-Instruct"])
def test_ensure_leaves_names_of_the_hub_to_vllm(store: ModelStore, name: str) -> None:
    assert str(store.ensure(name)) == name


@pytest.mark.parametrize(
    ("name", "reason", "sentence"),
    [
        ("tiney", R.UNKNOWN_MODEL, "Did you mean tiny"),
        ("a/b/c", R.UNKNOWN_MODEL, "There is no model .a/b/c."),
        ("", R.UNKNOWN_MODEL, "There is no model ''"),
        ("~nobody-of-that-name/m", R.NOT_A_MODEL, "does not exist"),
        ("x" * 5000, R.UNKNOWN_MODEL, "There is no model"),
        ("nul\0", R.UNKNOWN_MODEL, "There is no model"),
        ("../nowhere", R.NOT_A_MODEL, "The folder ../nowhere does not exist"),
        ("/nowhere/at/all", R.NOT_A_MODEL, "does not exist"),
    ],
)
def test_ensure_refuses_what_is_nothing(store: ModelStore, name: str, reason: ModelFilesReason, sentence: str) -> None:
    with pytest.raises(ModelFilesError, match=sentence) as caught:
        store.ensure(name)
    assert caught.value.reason is reason


def test_ensure_refuses_a_file_and_says_what_to_give(store: ModelStore, sharded: Path) -> None:
    with pytest.raises(ModelFilesError, match="is a file: give the folder"):
        store.ensure(str(sharded / SECOND))
