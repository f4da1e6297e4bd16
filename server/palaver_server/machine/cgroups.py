"""The bounds that a container puts on this process: version 1 and 2 of Linux control groups (cgroups(7))."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_NO_LIMIT = 1 << 60
"""Version 1 writes a number near 2^63 where there is no limit."""


def memory_limit_bytes() -> int | None:
    """The most memory that this process and its relatives may have; None without a limit."""
    return _least("memory", "memory.max", "memory.limit_in_bytes")


def process_limit() -> int | None:
    """The most processes and threads that this process and its relatives may be; None without a limit."""
    return _least("pids", "pids.max", "pids.max")


def processor_limit() -> float | None:
    """The processor time a second that this process and its relatives may use; None without a limit."""
    quotas = []
    texts, periods = (_read("cpu", "cpu.max", f"cpu.cfs_{which}_us") for which in ("quota", "period"))
    for text, period in zip(texts, periods, strict=False):
        quota = text.split()[0]
        if quota.isdigit():
            quotas.append(int(quota) / int(period.split()[-1]))
    return min(quotas, default=None)


def _least(controller: str, name: str, name_v1: str) -> int | None:
    values = [int(text) for text in _read(controller, name, name_v1) if text.isdigit()]
    return min((value for value in values if value < _NO_LIMIT), default=None)


def _read(controller: str, name: str, name_v1: str) -> Iterator[str]:
    """The values in this process's own group and in all that it is in."""
    try:
        lines = _OWN.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base, file = (_ROOT / controller, name_v1) if controllers else (_ROOT, name)
        group = base / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(base):
                try:
                    yield (folder / file).read_text(encoding="ascii").strip()
                except OSError:
                    continue  # the outermost group has no limits, and a container sees only a part of the tree
