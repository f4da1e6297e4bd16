"""Is this folder a whole model? Asked before every load, so it reads headers and sizes only: milliseconds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from palaver_server.models.errors import ModelFilesError, ModelFilesReason
from palaver_server.models.safetensors_header import HeaderError, read_header

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
MAX_JSON_BYTES = 64 << 20
"""An index of a model with a million tensors; more is no model's JSON."""
OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth")
"""PyTorch's own files, which vLLM loads too; nothing about them can be checked without loading them."""

# The name of a shard, such as model-00003-of-00047.safetensors.
_SHARD = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a folder."""

    reason: ModelFilesReason
    file: str
    """Its name within the folder; empty when the folder itself is meant."""
    text: str
    """The end of a sentence that begins with the file's name, or with the folder's."""


def check_folder(folder: Path) -> None:
    """Raise ModelFilesError for the first thing that is wrong with a folder; return if vLLM can be given it."""
    for problem in problems(folder):
        what = f"{problem.file} in {folder}" if problem.file else f"{folder}"
        raise ModelFilesError(problem.reason, f"{what} {problem.text}.")


def problems(folder: Path) -> Iterator[Problem]:
    """Everything that is wrong with a folder, found by presence, sizes and headers."""
    if problem := _config_problem(folder):
        yield problem
        return
    try:
        index = read_json(folder / INDEX) if (folder / INDEX).exists() else None
        expected = _indexed_shards(index) if index is not None else {}
    except ValueError as error:
        yield Problem(ModelFilesReason.WEIGHTS_DAMAGED, INDEX, f"cannot be used: {error}; fetch it again")
        return
    names = sorted(expected) if index is not None else _unindexed_files(folder)
    if not names and not any(_any(folder, pattern) for pattern in OTHER_WEIGHTS):
        text = "holds no weights (no *.safetensors); fetch the model again, or give the folder that holds them"
        yield Problem(ModelFilesReason.WEIGHTS_MISSING, "", text)
    for name in names:
        if problem := _file_problem(folder, name, expected.get(name, set())):
            yield problem


def weight_files(folder: Path) -> list[Path]:
    """List the safetensors files that vLLM loads: those of the index, or all of them, in the order of names."""
    if (folder / INDEX).exists():
        return [folder / name for name in sorted(_indexed_shards(read_json(folder / INDEX)))]
    return sorted(folder.glob("*.safetensors"))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file. Raises ValueError with the end of a sentence, or OSError."""
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError("it is too large")
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError("it is no JSON") from error
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - a wrong value, not a wrong call
    return value


def _config_problem(folder: Path) -> Problem | None:
    reason = ModelFilesReason.NOT_A_MODEL
    if not folder.exists():
        return Problem(reason, "", "does not exist")
    if not folder.is_dir():
        return Problem(reason, "", f"is a file: give the folder that holds {CONFIG} and the weights")
    if not (folder / CONFIG).is_file():
        gguf = "; its GGUF files have to be converted to safetensors first" if _any(folder, "*.gguf") else ""
        return Problem(reason, "", f"holds no {CONFIG}, so it is no model folder{gguf}")
    try:
        architectures = read_json(folder / CONFIG).get("architectures")
    except (ValueError, OSError) as error:
        text = error.strerror if isinstance(error, OSError) else error
        return Problem(reason, CONFIG, f"cannot be read: {text}")
    if not (isinstance(architectures, list) and architectures and all(isinstance(a, str) for a in architectures)):
        return Problem(reason, CONFIG, "names no `architectures`, so nobody can tell which model this is")
    return None


def _indexed_shards(index: dict[str, Any]) -> dict[str, set[str]]:
    """Tell which tensors each shard must hold, by the shard's name."""
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError("it has no `weight_map`")
    shards: dict[str, set[str]] = {}
    for tensor, name in weight_map.items():
        if not isinstance(name, str) or PurePosixPath(name).name != name or name in {"", ".", ".."}:
            raise ValueError(f"it names a file outside the folder for {tensor}")
        shards.setdefault(name, set()).add(tensor)
    return shards


def _unindexed_files(folder: Path) -> list[str]:
    """List the safetensors files of a folder without an index, with the shards that their names say are missing."""
    names = {path.name for path in folder.glob("*.safetensors")}
    for match in [match for match in map(_SHARD.fullmatch, names) if match]:
        count = int(match["count"])
        names |= {f"{match['stem']}-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)}
    return sorted(names)


def _file_problem(folder: Path, name: str, tensors: set[str]) -> Problem | None:
    path = folder / name
    if not path.exists():
        return Problem(ModelFilesReason.WEIGHTS_MISSING, name, "is missing; fetch it again")
    try:
        header = read_header(path)
    except HeaderError as error:
        return Problem(ModelFilesReason.WEIGHTS_DAMAGED, name, f"{error}; fetch it again")
    except OSError as error:
        return Problem(ModelFilesReason.WEIGHTS_DAMAGED, name, f"cannot be read: {error.strerror}")
    if lacking := sorted(tensors - header.tensors.keys()):
        text = f"lacks {len(lacking)} of the tensors that {INDEX} puts there, such as {lacking[0]}; fetch both again"
        return Problem(ModelFilesReason.WEIGHTS_DAMAGED, name, text)
    return None


def _any(folder: Path, pattern: str) -> bool:
    return next(folder.glob(pattern), None) is not None
