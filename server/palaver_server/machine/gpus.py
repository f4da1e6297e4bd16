"""The GPUs of this machine, asked of NVIDIA's own library (NVML) where Python can, else of the driver's files."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_DRIVER_FILES = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU."""

    name: str
    total_bytes: int | None
    """None where the driver's files alone tell of it."""
    free_bytes: int | None
    capability: tuple[int, int] | None = None
    """CUDA's compute capability, such as (9, 0) for Hopper; it says which number formats the hardware computes in."""
    index: int = 0
    """In the order of the PCI bus, which is NVML's."""
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class Gpus:
    """What was found."""

    devices: tuple[Gpu, ...]
    cuda_version: tuple[int, int] | None = None
    """The newest CUDA that the driver speaks; None where it did not say."""
    trouble: str = ""
    """Why NVML did not answer, where it should have."""


def find_gpus() -> Gpus:
    """Look for GPUs. No driver means no GPU."""
    seen = _of_driver_files()
    try:
        nvml: Any = importlib.import_module("pynvml")  # of nvidia-ml-py, which comes with vLLM for GPUs
    except ImportError:
        return Gpus(seen)
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Gpus(seen, trouble=str(error) if seen else "")
    try:
        cuda = int(nvml.nvmlSystemGetCudaDriverVersion_v2())
        devices = tuple(_of_index(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))
        return Gpus(devices, (cuda // 1000, cuda % 1000 // 10))
    except nvml.NVMLError as error:
        return Gpus(seen, trouble=str(error))
    finally:
        nvml.nvmlShutdown()


def _of_index(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        _text(nvml.nvmlDeviceGetName(handle)),
        int(memory.total),
        int(memory.free),
        (int(major), int(minor)),
        index,
        _text(nvml.nvmlDeviceGetUUID(handle)),
    )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _of_driver_files() -> tuple[Gpu, ...]:
    found = []
    for file in sorted(_DRIVER_FILES.glob("*/information")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key == "Model":
                found.append(Gpu(value.strip(), None, None))
    return tuple(found)
