"""Checks of processor, memory, GPUs and clock."""

from __future__ import annotations

import platform
import time
from pathlib import Path

import psutil

import palaver_server
from palaver_server.cli.checkup.finding import Finding, ok, problem, warning
from palaver_server.cli.checkup.model_files import weight_bytes
from palaver_server.machine import cgroups
from palaver_server.machine.cores import usable_cores
from palaver_server.machine.fitting import profile_for
from palaver_server.machine.gpus import Gpus, find_gpus
from palaver_server.machine.packages import installed, vllm_flavour
from palaver_server.settings import Settings

GIB = 2**30
PROCESS_BYTES = 3 * GIB
"""What server, engine core and worker need beside the weights. Measured with vLLM 0.32 and the default model: 3.2 GiB
in all (proportional set size), of which 0.25 GiB are weights and 0.7 GiB the KV cache."""
GPU_SHARE = 0.9
"""The part of a GPU's memory that vLLM takes unless told otherwise (``--gpu-memory-utilization``)."""
MIN_CORES = 2
"""One for the engine core, which never rests under load, and one for the server."""
MAX_DRIFT_SECONDS = 0.1

_began = (time.time(), time.monotonic())


def processor(settings: Settings) -> Finding:
    """Cores that may be used, and the instructions that make a model on them bearable."""
    usable, limit = len(usable_cores()), cgroups.processor_limit()
    cores = min(usable, limit) if limit else usable
    told = f"{cores:g} cores" + (f" of {psutil.cpu_count()}" if cores != psutil.cpu_count() else "")
    if cores < MIN_CORES:
        return warning(f"{told}: engine and server take turns on it.", "give it at least 2 cores")
    if settings.engine != "vllm" or vllm_flavour() != "cpu" or platform.machine() != "x86_64":
        return ok(f"{told}.")
    flags = _flags()
    if flags and "avx2" not in flags:
        return problem(f"{told} without AVX2, which vLLM's CPU build needs.", "use a newer processor, or a GPU")
    if flags and "avx512f" not in flags:
        return warning(f"{told} with AVX2 and without AVX-512: answers come slowly.", "prefer a processor with AVX-512")
    if flags and not flags & {"avx512_bf16", "amx_bf16"}:
        return warning(f"{told} with AVX-512 and without bfloat16.", "prefer one with avx512_bf16 or amx_bf16")
    fast = ", ".join(flag for flag in ("amx_bf16", "avx512_bf16", "avx512f") if flag in flags)
    return ok(f"{told}{' with ' + fast if fast else ''}.")


def memory(settings: Settings) -> Finding:
    """Room in memory for the model, where a CPU runs it."""
    free, limit = psutil.virtual_memory().available, cgroups.memory_limit_bytes()
    told = f"{_gib(free)} of memory free"
    if limit is not None and limit < free:
        free, told = limit, f"{_gib(limit)} of memory allowed to this container"
    if settings.engine != "vllm":
        return ok(f"{told}.")
    weights = weight_bytes(settings) if vllm_flavour() != "gpu" else 0
    if weights is None:
        return ok(f"{told}; the size of {settings.model} is not known before it is fetched.")
    if free < weights + PROCESS_BYTES:
        return problem(
            f"{told}, and about {_gib(weights + PROCESS_BYTES)} are needed.", "free some, or serve a smaller model"
        )
    return ok(f"{told}; about {_gib(weights + PROCESS_BYTES)} are needed.")


def gpus(settings: Settings) -> Finding:
    """GPUs, their driver, and room in them for the model."""
    found = find_gpus()
    if found.trouble:
        return problem(
            f"A GPU is here, and its driver does not answer: {found.trouble}.", "run nvidia-smi; reload the driver"
        )
    if not found.devices:
        return ok("No GPU; models run on the CPU.")
    told = _names(found)
    needed = _cuda_of_torch()
    if settings.engine == "vllm" and needed and found.cuda_version and found.cuda_version[0] < needed:
        spoken = ".".join(map(str, found.cuda_version))
        return problem(f"{told}; the driver speaks CUDA {spoken} and torch needs {needed}.", "update the NVIDIA driver")
    sizes = [gpu.total_bytes for gpu in found.devices if gpu.total_bytes]
    weights = weight_bytes(settings) if settings.engine == "vllm" and vllm_flavour() == "gpu" else None
    if not sizes or weights is None:
        return ok(f"{told}.")
    if weights > GPU_SHARE * sum(sizes):
        return problem(
            f"{told}; the weights alone are {_gib(weights)}.", "serve a smaller or quantised model, or add GPUs"
        )
    busy = [gpu for gpu in found.devices if gpu.total_bytes and (gpu.free_bytes or 0) < GPU_SHARE * gpu.total_bytes]
    if busy:
        return problem(
            f"{told}; {len(busy)} of them in use by others ({_gib(busy[0].free_bytes or 0)} free).",
            "end what runs there, or pass a lower --gpu-memory-utilization",
        )
    if weights > GPU_SHARE * sizes[0] and settings.start_profile == "off":
        return warning(
            f"{told}; the weights are {_gib(weights)}, more than one holds.",
            f"pass --tensor-parallel-size {len(sizes)}, unless it is set already",
        )
    return ok(f"{told}; the weights are {_gib(weights)}.")


def start_profile(settings: Settings) -> Finding:
    """What a start would choose for this machine."""
    profile = profile_for(settings, ())
    if profile is None:
        return ok("Off: vLLM's own defaults hold." if settings.engine == "vllm" else "Not needed: no model is run.")
    if profile.trouble:
        return problem(f"For {profile.machine}: {profile.trouble}.", "serve a smaller or quantised model, or add GPUs")
    chosen = ", ".join(f"{choice.name} {choice.value}" for choice in profile.choices)
    told = f"{chosen}; `palaver tune --dry-run` tells why" if chosen else " ".join(profile.notes).rstrip(".")
    return ok(f"For {profile.machine}: {told}.")


def clock(_settings: Settings) -> Finding:
    """Certificates and keys expire by the wall clock; everything else is timed by the monotonic one."""
    newest = Path(palaver_server.__file__).stat().st_mtime
    if time.time() < newest:
        return problem(
            f"The clock says {time.strftime('%Y-%m-%d')}, which is before this palaver was installed.", "set the clock"
        )
    drift = (time.time() - _began[0]) - (time.monotonic() - _began[1])
    if abs(drift) > MAX_DRIFT_SECONDS:
        return warning(f"The clock moved by {drift:+.1f} s within a second.", "let one service alone set the time")
    return ok(f"It is {time.strftime('%Y-%m-%d %H:%M:%S %Z')}, and the clock runs evenly.")


def _flags() -> set[str]:
    """Instruction sets of the first core (proc(5)); empty where nobody says."""
    try:
        with Path("/proc/cpuinfo").open(encoding="ascii", errors="replace") as file:
            return next((set(line.partition(":")[2].split()) for line in file if line.startswith("flags")), set())
    except OSError:
        return set()


def _names(found: Gpus) -> str:
    count, first = len(found.devices), found.devices[0]
    size = f" of {_gib(first.total_bytes)}" if first.total_bytes else ""
    return f"{count} x {first.name}{size}" if count > 1 else f"{first.name}{size}"


def _cuda_of_torch() -> int | None:
    """The major version of CUDA that the installed torch brings; a driver of the same one runs it."""
    version = installed("nvidia-cuda-runtime") if vllm_flavour() == "gpu" else None
    return int(version.partition(".")[0]) if version else None


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
