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
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return Gpus(tuple(_of_handle(nvml, handle) for handle in handles), (cuda // 1000, cuda % 1000 // 10))
    except nvml.NVMLError as error:
        return Gpus(seen, trouble=str(error))
    finally:
        nvml.nvmlShutdown()


def _of_handle(nvml: Any, handle: Any) -> Gpu:
    name = nvml.nvmlDeviceGetName(handle)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(name.decode() if isinstance(name, bytes) else str(name), int(memory.total), int(memory.free))


def _of_driver_files() -> tuple[Gpu, ...]:
    found = []
    for file in sorted(_DRIVER_FILES.glob("*/information")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key == "Model":
                found.append(Gpu(value.strip(), None, None))
    return tuple(found)
