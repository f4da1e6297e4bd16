"""Which cores an engine without a GPU computes on.

vLLM (0.32, ``utils/ompmultiprocessing.py``) gives its worker a thread for each physical core but one, which it keeps
for the engine core: that never sleeps while answers run. Of two cores it keeps half of what the machine has.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

BINDING = "VLLM_CPU_OMP_THREADS_BIND"
CHOSEN_BY = (BINDING, "VLLM_CPU_NUM_OF_RESERVED_CPU", "VLLM_CPU_SIM_MULTI_NUMA", "CPU_VISIBLE_MEMORY_NODES")
"""Variables by which operators choose themselves, or which go with vLLM's own choice alone."""
FEW_CORES = 2
"""Beyond, a thread that shares its core with the engine core would hold up more than it brings."""
LEAST_WEIGHT_BYTES = 64 * 2**20
"""Of weights. Both cores make SmolLM2 (270 MB) faster, and the tiny GLM (5 MB) slower, whose threads wait for each
other longer than they compute. Nothing between was measured."""
TOPOLOGY = Path("/sys/devices/system/cpu")


def binding_for(
    weight_bytes: int | None,
    cores: Collection[Collection[int]],
    environment: Mapping[str, str],
    processor_limit: float | None = None,
) -> dict[str, str]:
    """Variables that give the worker both of two cores; none where vLLM's own choice or the operator's stands.

    Args:
        weight_bytes: of the model; None where it is not known yet, as of one that vLLM fetches.
        cores: the physical ones, each with its logical ones.
        environment: of the server.
        processor_limit: the processor time a second that a container may use. Of less than two cores' time, threads
            that wait for each other would lose more than they bring.
    """
    is_small = weight_bytes is not None and weight_bytes < LEAST_WEIGHT_BYTES
    is_limited = processor_limit is not None and processor_limit < len(cores)
    if is_small or is_limited or len(cores) != FEW_CORES or any(name in environment for name in CHOSEN_BY):
        return {}
    if platform.machine() != "x86_64" and any(len(core) > 1 for core in cores):
        return {}  # elsewhere vLLM may use several threads of a core; on x86 it takes the last of each, as here
    return {BINDING: ",".join(str(max(core)) for core in cores)}


def usable_cores() -> Collection[int]:
    """The numbers of the logical cores that this process may run on; all where a system tells nothing of it."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)


def physical_cores(topology: Path = TOPOLOGY, usable: Collection[int] | None = None) -> list[list[int]]:
    """The cores that this process may run on, by the numbers of their logical ones.

    Args:
        topology: the kernel's folder of it; where it cannot be read, each logical core counts as a physical one.
        usable: numbers of logical cores; those of ``usable_cores`` by default.
    """
    cores: dict[str, list[int]] = {}
    for number in sorted(usable_cores() if usable is None else usable):
        siblings = str(number)
        with suppress(OSError):
            siblings = (topology / f"cpu{number}" / "topology" / "thread_siblings_list").read_text()
        cores.setdefault(siblings, []).append(number)
    return list(cores.values())
