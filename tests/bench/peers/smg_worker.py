"""vLLM's gRPC server, whose service comes from the package smg-grpc-servicer: in Python, or in Rust by its switch."""

from __future__ import annotations

import os
from typing import Literal

from tests.bench import install
from tests.bench.peers.ports import free_port
from tests.bench.plan import Plan
from tests.bench.processes import Launched, Launcher

ENVIRONMENT = "smg"
# Imported and not run with -m: the switch to Rust replaces a function of the module as it is imported.
RUN = "from vllm.entrypoints.launchers import grpc_server; grpc_server.main()"


async def start_worker(plan: Plan, launcher: Launcher, language: Literal["python", "rust"]) -> tuple[Launched, int]:
    """Start it; the process, and the port that it listens on or is about to."""
    port = free_port()
    command = [install.program(ENVIRONMENT), "-c", RUN, "--model", plan.model, *plan.engine_flags]
    environment = {
        **os.environ,
        "SMG_VLLM_SERVICER_IMPL": language,
        # Events of the cache are for a router that has several workers to choose from, and listen on every address.
        "SMG_VLLM_SERVICER_KV_EVENTS": "off",
        "VLLM_NO_USAGE_STATS": "1",
    }
    listen = ("--host", "127.0.0.1", "--port", str(port))
    return await launcher.start("worker", [*command, *listen], environment=environment), port
