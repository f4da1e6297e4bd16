from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from palaver_server.models.safetensors_header import HeaderError, read_header, tensor_digest


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "w.safetensors"
    save_file({"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(5, np.int8)}, path, {"format": "pt"})
    return path


def test_header_tells_names_shapes_and_places(weights: Path) -> None:
    header = read_header(weights)
    assert {name: (t.dtype, t.shape, t.element_count) for name, t in header.tensors.items()} == {
        "a": ("F32", (2, 3), 6),
        "b": ("I8", (5,), 5),
    }
    a = header.tensors["a"]
    stored = weights.read_bytes()[header.data_begin + a.begin : header.data_begin + a.end]
    assert np.frombuffer(stored, np.float32).tolist() == [0, 1, 2, 3, 4, 5]


def test_every_truncation_is_found(weights: Path) -> None:
    whole = weights.read_bytes()
    for length in range(len(whole)):
        weights.write_bytes(whole[:length])
        with pytest.raises(HeaderError, match="is truncated"):
            read_header(weights)


def test_bytes_after_the_end_are_found(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes() + b"x")
    with pytest.raises(HeaderError, match="is damaged"):
        read_header(weights)


@pytest.mark.parametrize("mask", [0x01, 0x10, 0xFF])
def test_a_damaged_header_ends_in_a_header_error_or_is_readable(weights: Path, mask: int) -> None:
    whole = weights.read_bytes()
    found = 0
    for place in range(read_header(weights).data_begin):
        damaged = bytearray(whole)
        damaged[place] ^= mask
        weights.write_bytes(damaged)
        try:
            read_header(weights)
        except HeaderError:
            found += 1
    assert found > read_header_length(whole) // 3


def read_header_length(whole: bytes) -> int:
    return int.from_bytes(whole[:8], "little")


@pytest.mark.parametrize(
    "header",
    [
        [],
        {"a": 1},
        {"a": {"dtype": "F32", "shape": [1]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
        {name: {"dtype": "I8", "shape": [4], "data_offsets": [0, 4]} for name in "ab"},
    ],
)
def test_a_header_that_makes_no_sense_is_damage(tmp_path: Path, header: object) -> None:
    raw = json.dumps(header).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(8))
    with pytest.raises(HeaderError, match="is damaged"):
        read_header(path)


def test_a_type_that_is_not_known_yet_is_accepted(tmp_path: Path) -> None:
    raw = json.dumps({"a": {"dtype": "F2", "shape": [16], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(4))
    assert read_header(path).tensors["a"].dtype == "F2"


def test_digest_is_of_the_tensors_not_of_the_files(tmp_path: Path) -> None:
    one, two, both = tmp_path / "1.safetensors", tmp_path / "2.safetensors", tmp_path / "both.safetensors"
    a, b = {"a": np.ones(4, np.float32)}, {"b": np.zeros((2, 2), np.int8)}
    save_file(a, one)
    save_file(b, two)
    save_file({**b, **a}, both, {"written": "by another"})
    read: list[int] = []
    assert tensor_digest([two, one], read.append) == tensor_digest([both], lambda _count: None)
    assert sum(read) == 20
    save_file({"a": np.ones((2, 2), np.float32), **b}, both)
    assert tensor_digest([both], read.append) != tensor_digest([one, two], read.append)
