"""What ``palaver doctor`` looks at: a table of small checks. None imports torch or vLLM, none changes anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from palaver_server.cli.checkup import folders, hardware, limits, model_files, network, software
from palaver_server.cli.checkup.finding import Finding, Level, warning
from palaver_server.settings import Settings

__all__ = ["CHECKS", "Finding", "Level", "examine"]

CHECKS: Mapping[str, Callable[[Settings], Finding]] = {
    "python": software.python,
    "packages": software.packages,
    "vllm": software.vllm,
    "compiler": software.compiler,
    "processor": hardware.processor,
    "memory": hardware.memory,
    "gpus": hardware.gpus,
    "start profile": hardware.start_profile,
    "other engines": limits.other_servers,
    "model": model_files.model,
    "disk": model_files.disk,
    "addresses": network.addresses,
    "exposure": network.exposure,
    "certificate": network.certificate,
    "state folder": folders.state_folder,
    "temporary folder": folders.temporary_folder,
    "open files": limits.open_files,
    "processes": limits.processes,
    "shared memory": limits.shared_memory,
    "clock": hardware.clock,
}
"""Each check by its name, in the order in which they are shown; the clock is last, as it watches the others run."""


def examine(name: str, settings: Settings) -> Finding:
    """Run one check. What it cannot find out is a finding too."""
    try:
        return CHECKS[name](settings)
    except OSError as error:
        return warning(f"This could not be looked at: {error}.", "run it as the user who will serve")
