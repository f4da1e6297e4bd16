from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from palaver_server.models.catalogue import CatalogueModel
from palaver_server.models.errors import ModelFilesError, ModelFilesReason
from palaver_server.models.hashing import sha256_of_files
from palaver_server.models.store import ModelStore
from palaver_server.models.verification import verify, verify_model, write_manifest

SECOND = "model-00002-of-00003.safetensors"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def sharded(tmp_path: Path, write_sharded: Callable[[Path, int], Path]) -> Path:
    return write_sharded(tmp_path / "sharded", 3)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def change_last_byte(path: Path) -> None:
    """As a failing disk does: same size, and the same time stamp."""
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_whole_folder_is_whole(sharded: Path, cache: Path) -> None:
    found = verify(sharded, cache, full=False)
    assert (found.problems, found.notes, found.hashed_bytes) == ((), (), 0)


def test_every_broken_shard_is_named(sharded: Path, cache: Path) -> None:
    os.truncate(sharded / "model-00001-of-00003.safetensors", 30)
    (sharded / SECOND).unlink()
    found = verify(sharded, cache, full=False)
    assert [(p.file, p.reason) for p in found.problems] == [
        ("model-00001-of-00003.safetensors", ModelFilesReason.WEIGHTS_DAMAGED),
        (SECOND, ModelFilesReason.WEIGHTS_MISSING),
    ]


def test_full_verification_of_a_recorded_folder_finds_one_changed_byte(
    sharded: Path, cache: Path, reports: Any
) -> None:
    manifest = write_manifest(sharded, cache, in_folder=False)
    assert manifest.parent == cache / "manifests"
    assert not any("palaver" in path.name for path in sharded.iterdir())
    whole = verify(sharded, cache, full=True, on_progress=reports)
    assert whole.problems == ()
    assert whole.hashed_bytes == sum(path.stat().st_size for path in sharded.iterdir())
    assert reports.all[-1].fraction == 1.0
    change_last_byte(sharded / SECOND)
    assert verify(sharded, cache, full=False).problems == ()
    [problem] = verify(sharded, cache, full=True).problems
    assert (problem.file, problem.reason) == (SECOND, ModelFilesReason.FILE_CHANGED)


def test_a_manifest_in_the_folder_goes_along_with_a_copy(sharded: Path, cache: Path, tmp_path: Path) -> None:
    manifest = write_manifest(sharded, cache, in_folder=True)
    assert manifest == sharded / "palaver-manifest.json"
    moved = sharded.rename(tmp_path / "moved")
    assert verify(moved, cache, full=True).compared_with == "its manifest"
    change_last_byte(moved / SECOND)
    assert [problem.file for problem in verify(moved, cache, full=True).problems] == [SECOND]


def test_a_recorded_file_that_is_no_weight_is_watched_too(sharded: Path, cache: Path) -> None:
    write_manifest(sharded, cache, in_folder=False)
    (sharded / "tokenizer.json").write_text("{ }")
    [problem] = verify(sharded, cache, full=False).problems
    assert (problem.file, problem.text) == ("tokenizer.json", "has 3 bytes instead of 2; fetch it again")
    with pytest.raises(ModelFilesError, match=r"tokenizer.json .*has 3 bytes instead of 2.*record the folder anew"):
        ModelStore(cache).ensure(str(sharded))


def test_a_broken_folder_is_not_recorded(sharded: Path, cache: Path) -> None:
    (sharded / SECOND).unlink()
    with pytest.raises(ModelFilesError, match=f"{SECOND} .*is missing"):
        write_manifest(sharded, cache, in_folder=False)
    assert not cache.exists()


def test_full_verification_without_recorded_hashes_says_how_to_record_them(sharded: Path, cache: Path) -> None:
    with pytest.raises(ModelFilesError, match="verify --write-manifest") as caught:
        verify(sharded, cache, full=True)
    assert caught.value.reason is ModelFilesReason.NOTHING_RECORDED


def test_a_snapshot_of_the_hub_is_verified_by_the_names_of_its_blobs(sharded: Path, cache: Path) -> None:
    blobs = sharded.parent / "blobs"
    blobs.mkdir()
    for path in sharded.glob("*.safetensors"):
        blob = blobs / hashlib.sha256(path.read_bytes()).hexdigest()
        path.rename(blob)
        path.symlink_to(Path("..") / "blobs" / blob.name)
    whole = verify(sharded, cache, full=True)
    assert (whole.problems, whole.compared_with) == ((), "the hashes that the hub's downloader left")
    change_last_byte((sharded / SECOND).resolve())
    assert [problem.file for problem in verify(sharded, cache, full=True).problems] == [SECOND]


def test_a_folder_that_the_hub_downloaded_into_is_verified_by_its_metadata(sharded: Path, cache: Path) -> None:
    records = sharded / ".cache/huggingface/download"
    records.mkdir(parents=True)
    for path in sharded.glob("*.safetensors"):
        lines = ["c" * 40, hashlib.sha256(path.read_bytes()).hexdigest(), "1712656091.123"]
        (records / f"{path.name}.metadata").write_text("\n".join(lines) + "\n")
    (records / "config.json.metadata").write_text(f"{'c' * 40}\n{'d' * 40}\n1712656091.123\n")
    assert verify(sharded, cache, full=True).problems == ()
    change_last_byte(sharded / SECOND)
    assert [problem.file for problem in verify(sharded, cache, full=True).problems] == [SECOND]


def test_a_wrong_sum_in_the_index_is_a_note(sharded: Path, cache: Path) -> None:
    index = json.loads((sharded / INDEX).read_text())
    index["metadata"]["total_size"] += 1
    (sharded / INDEX).write_text(json.dumps(index))
    found = verify(sharded, cache, full=False)
    assert found.problems == ()
    assert found.notes == (
        f"{INDEX} tells of 403 bytes of tensors and the shards hold 402; every tensor it names is there",
    )


def test_a_fetched_model_is_verified_by_its_name(store: ModelStore, fetched: Path) -> None:
    assert verify_model(store, "tiny", full=True).problems == ()
    change_last_byte(fetched / "model.safetensors")
    assert verify_model(store, "tiny", full=False).problems == ()
    [problem] = verify_model(store, "tiny", full=True).problems
    assert problem.file == "model.safetensors"


def test_weights_and_manifest_exchanged_together_are_found_by_the_pin(
    store: ModelStore, fetched: Path, tiny: CatalogueModel
) -> None:
    change_last_byte(fetched / "model.safetensors")
    manifest = json.loads((fetched / "palaver-manifest.json").read_text())
    for record in manifest["files"]:
        record["sha256"] = hashlib.sha256((fetched / record["name"]).read_bytes()).hexdigest()
    (fetched / "palaver-manifest.json").write_text(json.dumps(manifest))
    [problem] = verify_model(store, "tiny", full=True).problems
    assert (problem.reason, "other weights" in problem.text) == (ModelFilesReason.HASH_MISMATCH, True)


def test_a_model_that_is_not_here_is_told_how_to_get(store: ModelStore) -> None:
    with pytest.raises(ModelFilesError, match="palaver models pull tiny") as caught:
        verify_model(store, "tiny", full=False)
    assert caught.value.reason is ModelFilesReason.NOT_FETCHED


def test_a_model_in_the_cache_of_the_hub_is_found_by_its_name(
    store: ModelStore, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ModelFilesError, match="nor in the model hub's cache") as caught:
        store.locate("owner/model")
    assert caught.value.reason is ModelFilesReason.NOT_FETCHED
    repository = tmp_path / "hub/models--owner--model"
    (repository / "snapshots").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("c" * 40)
    (repository / "snapshots" / ("c" * 40)).symlink_to(finished)
    assert verify_model(store, "owner/model", full=False).folder == repository / "snapshots" / ("c" * 40)


def test_hashing_agrees_with_hashlib_and_counts_every_byte(tmp_path: Path) -> None:
    contents = {tmp_path / str(size): os.urandom(size) for size in (0, 1, 1 << 20, (3 << 20) + 7)}
    for path, content in contents.items():
        path.write_bytes(content)
    counted: list[int] = []
    digests = sha256_of_files(list(contents), counted.append)
    assert digests == {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
    assert sum(counted) == sum(map(len, contents.values()))


def test_hashing_ends_when_the_caller_leaves_and_when_a_file_is_gone(tmp_path: Path) -> None:
    def leave(_count: int) -> None:
        raise InterruptedError

    (tmp_path / "a").write_bytes(b"a")
    with pytest.raises(InterruptedError):
        sha256_of_files([tmp_path / "a"], leave)
    with pytest.raises(FileNotFoundError):
        sha256_of_files([tmp_path / "a", tmp_path / "gone"], lambda _count: None)
