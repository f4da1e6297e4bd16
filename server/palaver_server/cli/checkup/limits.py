"""Checks of what the operating system and a container allow."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import psutil

from palaver_server.cli.checkup.finding import Finding, ok, problem, warning
from palaver_server.machine import cgroups
from palaver_server.machine.gpus import find_gpus
from palaver_server.settings import Settings

OWN_FILES = 256
"""Descriptors that server, gRPC and engine hold without any client."""
OWN_THREADS = 512
"""Threads and processes of a server with its engine on a large machine; torch starts one a core and more."""
MIN_SHARED_BYTES = 1 << 30
"""The workers of several GPUs talk through /dev/shm; Docker gives 64 MiB unless told otherwise."""


def open_files(settings: Settings) -> Finding:
    """Descriptors for every connection that the settings allow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = settings.max_connections + OWN_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return ok(f"{'Unlimited' if soft == resource.RLIM_INFINITY else f'{soft:,}'} open files are allowed.")
    is_ours_to_raise = hard == resource.RLIM_INFINITY or hard >= needed
    remedy = f"ulimit -n {needed}" if is_ours_to_raise else "raise LimitNOFILE or nofile"
    text = f"{soft:,} open files are allowed, and {settings.max_connections:,} connections need {needed:,}."
    if soft < OWN_FILES:
        return problem(text, remedy)
    return warning(text, f"{remedy}, or lower --max-connections")


def processes(_settings: Settings) -> Finding:
    """Processes and threads that a container allows."""
    limit = cgroups.process_limit()
    if limit is None:
        return ok("No limit on processes and threads.")
    if limit < OWN_THREADS:
        return warning(f"{limit:,} processes and threads are allowed.", f"raise the limit (--pids-limit {OWN_THREADS})")
    return ok(f"{limit:,} processes and threads are allowed.")


def shared_memory(settings: Settings) -> Finding:
    """Room in /dev/shm, through which the workers of several GPUs talk."""
    folder = Path("/dev/shm")  # noqa: S108  # looked at, not written
    if not folder.is_dir():
        return warning("There is no /dev/shm.", "mount a tmpfs there")
    size = shutil.disk_usage(folder).total
    told = f"{folder} has {size / 2**20:,.0f} MiB"
    if settings.engine == "vllm" and size < MIN_SHARED_BYTES and len(find_gpus().devices) > 1:
        return warning(f"{told}, which is little for several GPUs.", "run the container with --shm-size 8g")
    return ok(f"{told}.")


def other_servers(_settings: Settings) -> Finding:
    """Engines that a server left behind, or that somebody else runs, would take the same memory."""
    names = [process.info["name"] or "" for process in psutil.process_iter(["name"])]
    # The name that vLLM gives its processes, cut by the kernel at 15 bytes.
    engines = sum(name.startswith("VLLM::") for name in names)
    if engines:
        return warning(
            f"{engines} processes of vLLM engines run already.", "end what is not meant to run: pgrep -a VLLM::"
        )
    return ok("No other vLLM engine runs.")
