"""Which of the GPUs found an engine uses: those that CUDA shows it, and of them those that are alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from palaver_server.machine.gpus import Gpu

VISIBLE = "CUDA_VISIBLE_DEVICES"
ORDER = "CUDA_DEVICE_ORDER"
MAX_WAYS = 8
"""GPUs that one server's links join; beyond them the sums of tensor parallelism go over a network."""


def visible(gpus: Sequence[Gpu], environment: Mapping[str, str]) -> tuple[Gpu, ...]:
    """The GPUs that CUDA shows a process with this environment, in its order.

    As CUDA's programming guide says of CUDA_VISIBLE_DEVICES: indices, or the beginnings of UUIDs, up to the first that
    does not exist.
    """
    if (chosen := environment.get(VISIBLE)) is None:
        return tuple(gpus)
    found: list[Gpu] = []
    for word in map(str.strip, chosen.split(",")):
        match = next(
            (gpu for gpu in gpus if word == str(gpu.index) or (word[:4] == "GPU-" and gpu.uuid.startswith(word))), None
        )
        if match is None:
            break
        found.append(match)
    return tuple(found)


def alike(gpus: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """The GPUs of one kind that have the most memory together; the larger kind where two have as much.

    Tensor parallelism gives each GPU the same part of the weights: the smallest and slowest sets the pace of all.
    """
    kinds: defaultdict[tuple[str, int], list[Gpu]] = defaultdict(list)
    for gpu in gpus:
        kinds[gpu.name, gpu.total_bytes or 0].append(gpu)
    if not kinds:
        return ()
    kind = max(kinds, key=lambda kind: (kind[1] * _usable(len(kinds[kind])), kind[1]))
    return tuple(kinds[kind])


def ways_to_divide(count: int) -> tuple[int, ...]:
    """Sizes of tensor parallelism that this many GPUs allow: powers of two, as heads and experts divide by them."""
    return tuple(2**power for power in range(MAX_WAYS.bit_length()) if 2**power <= min(count, MAX_WAYS))


def environment_for(used: Sequence[Gpu], gpus: Sequence[Gpu], environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that show the engine only those GPUs; none where it sees no others, or the operator has chosen.

    CUDA counts the fastest GPU first unless told to count as NVML does.
    """
    if len(used) == len(gpus) or VISIBLE in environment or ORDER in environment:
        return {}
    return {ORDER: "PCI_BUS_ID", VISIBLE: ",".join(str(gpu.index) for gpu in used)}


def _usable(count: int) -> int:
    return max(ways_to_divide(count), default=0)
