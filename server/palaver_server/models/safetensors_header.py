"""The header of a safetensors file, read alone.

The format (huggingface/safetensors, README): 8 bytes little-endian length N, N bytes of JSON that map each tensor's
name to its type, shape and place, then the tensors without gaps to the end of the file. So a truncated file shows in
its first kilobytes. The library of that name opens only whole files and only types that it knows; a damaged file has
to be explained here, and a server without an engine does not have the library.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_HEADER_BYTES = 100_000_000
"""The format's own limit."""
LENGTH_BYTES = 8
CHUNK_BYTES = 1 << 20

DTYPE_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I8", "U8", "BOOL"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
"""Bits an element; a type that is not here is newer than this list and its size is not checked."""


class HeaderError(ValueError):
    """What is wrong with a file, as the end of a sentence that began with its name."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where one tensor lies; offsets count from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def element_count(self) -> int:
        """Elements, 1 for a scalar."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about itself."""

    data_begin: int
    """Offset of the first tensor's bytes in the file."""
    tensors: Mapping[str, Tensor]


def read_header(path: Path) -> Header:
    """Read and check the header of one file, in about a millisecond.

    Raises HeaderError if the file is truncated, too long, or no safetensors file; OSError if it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(LENGTH_BYTES)
        if len(prefix) < LENGTH_BYTES:
            raise HeaderError(f"is truncated: it has {size:,} bytes")
        length = int.from_bytes(prefix, "little")
        if length > MAX_HEADER_BYTES:
            raise HeaderError("is no safetensors file: its header's length makes no sense")
        if LENGTH_BYTES + length > size:
            raise HeaderError(f"is truncated: it has {size:,} bytes, fewer than its header alone")
        raw = file.read(length)
    header = Header(LENGTH_BYTES + length, _tensors(raw))
    expected = header.data_begin + max((tensor.end for tensor in header.tensors.values()), default=0)
    if size < expected:
        raise HeaderError(f"is truncated: it has {size:,} of {expected:,} bytes")
    if size > expected:
        raise HeaderError(f"is damaged: it has {size:,} bytes where its header tells of {expected:,}")
    return header


def _tensors(raw: bytes) -> dict[str, Tensor]:
    try:
        entries = json.loads(raw)
        entries.pop("__metadata__", None)
        tensors = {name: _tensor(entry) for name, entry in entries.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise HeaderError("is damaged: its header cannot be read") from error
    begin = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        bits = DTYPE_BITS.get(tensor.dtype)
        fits = bits is None or (tensor.element_count * bits + 7) // 8 == tensor.end - tensor.begin
        if tensor.begin != begin or tensor.end < tensor.begin or not fits:
            raise HeaderError(f"is damaged: its header puts the tensor {name} in a wrong place")
        begin = tensor.end
    return tensors


def _tensor(entry: Any) -> Tensor:
    begin, end = entry["data_offsets"]
    return Tensor(str(entry["dtype"]), tuple(int(length) for length in entry["shape"]), int(begin), int(end))


def tensor_digest(paths: Iterable[Path], on_bytes: Callable[[int], None]) -> str:
    """Hash the tensors alone, by name, with SHA-256: the same for the same weights, whatever wrote the files.

    For every tensor in the order of names: name, type and shape as a line of text, then its bytes. ``on_bytes`` gets
    the number of bytes of each piece that was read.
    """
    headers = [(path, read_header(path)) for path in paths]
    places = [
        (name, tensor, path, header.data_begin) for path, header in headers for name, tensor in header.tensors.items()
    ]
    digest = hashlib.sha256()
    for name, tensor, path, data_begin in sorted(places, key=lambda place: place[0]):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        left = tensor.end - tensor.begin
        with path.open("rb") as file:
            file.seek(data_begin + tensor.begin)
            while left and (chunk := file.read(min(CHUNK_BYTES, left))):
                digest.update(chunk)
                left -= len(chunk)
                on_bytes(len(chunk))
    return digest.hexdigest()
