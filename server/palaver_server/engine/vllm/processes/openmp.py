"""OpenMP in a worker that was forked: the libraries that its process begins with, and the cores of its threads.

vLLM (0.32, ``platforms/cpu.py`` and ``utils/ompmultiprocessing.py``) decides both by environment variables that a
worker's new interpreter reads when it begins. A fork reads them too late: its libraries are there already, and its
threads are bound here.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

AFFINITY = "GOMP_CPU_AFFINITY"
"""GNU OpenMP's variable, in which vLLM writes the numbers of a worker's cores."""
OTHER_OPENMP = ("libomp", "libiomp")
"""With LLVM's or Intel's, which operators may preload, vLLM binds threads by other variables."""
ELEMENTS_PER_THREAD = 1 << 16
"""torch makes a thread for no less than 32,768 elements (``at::internal::GRAIN_SIZE``)."""


def libraries() -> str | None:
    """What vLLM has its engine's processes preload (``LD_PRELOAD``): an allocator and torch's own OpenMP.

    Returns:
        None where the operator's own choice is bound in a way that a fork cannot have.
    """
    given = os.environ.get("LD_PRELOAD", "")
    if any(name in given for name in OTHER_OPENMP):
        return None
    found = [given] if given else []
    if "libgomp" not in given:
        torch = _folder("torch")
        found += _first((torch.parent / "torch.libs", "libgomp*.so*"), (torch / "lib", "libgomp*.so*"))
    if "libtcmalloc" not in given:
        bundled = _folder("vllm") / "libs"
        found = _first((bundled, "libtcmalloc_minimal*.so*"), (bundled, "libtcmalloc.so*")) + found
    return ":".join(found)


def bind_threads() -> None:
    """Bind this thread and torch's others to the cores that vLLM has chosen, one each, as GNU OpenMP does it."""
    cores = [int(core) for core in os.environ.get(AFFINITY, "").split()]
    if not cores:
        return  # the operator has switched it off, with VLLM_CPU_OMP_THREADS_BIND=nobind
    import torch  # noqa: PLC0415  # seconds, where it is not there yet

    os.sched_setaffinity(0, cores)
    torch.set_num_threads(len(cores))
    before = _threads()
    torch.ones(len(cores) * ELEMENTS_PER_THREAD).neg_()  # OpenMP makes its threads when they are first needed
    for thread, core in zip([os.getpid(), *sorted(_threads() - before)], cores, strict=False):
        os.sched_setaffinity(thread, {core})


def _threads() -> set[int]:
    return {int(thread) for thread in os.listdir("/proc/self/task")}  # noqa: PTH208  # no objects for names


def _folder(package: str) -> Path:
    """A package's folder, without importing it."""
    spec = find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else Path("/nonexistent")


def _first(*places: tuple[Path, str]) -> list[str]:
    """The first file that one of these patterns finds, if any."""
    return next(([str(file)] for folder, pattern in places for file in folder.glob(pattern)), [])
