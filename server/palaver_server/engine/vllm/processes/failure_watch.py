"""Notices that the engine has died or hangs, also while nobody is asking it anything."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from palaver_server.engine.vllm.runtime import Runtime

POLL_SECONDS = 0.25
"""vLLM has no callback for its engine's death. A quarter of a second is soon enough and costs nothing."""


async def wait_failed(runtime: Runtime, stall_seconds: float, running_elsewhere: Callable[[], int]) -> str:
    """Return when the engine can answer no more, with a sentence about it; who waits for an answer is told before.

    vLLM's own check of health knows a dead engine, not one that hangs: there, requests run and for a long time nothing
    happens, not a step.

    Args:
        runtime: the engine.
        stall_seconds: how long a silence of a busy engine may last.
        running_elsewhere: how many answers the engine writes for other processes; they too must keep it going.
    """
    loop = asyncio.get_running_loop()
    seen_beats, quiet_since = runtime.pulse.beats, loop.time()
    while not runtime.llm.errored:
        running = runtime.generations.running_count + running_elsewhere()
        if runtime.pulse.beats != seen_beats or not running:
            seen_beats, quiet_since = runtime.pulse.beats, loop.time()
            runtime.pulse.quiet_since = None
        elif runtime.pulse.quiet_since is None:
            runtime.pulse.quiet_since = quiet_since
        elif loop.time() - quiet_since > stall_seconds:
            runtime.give_up()
            return f"The engine hangs: {running} requests run, and nothing came of it for {stall_seconds:g} seconds."
        await asyncio.sleep(POLL_SECONDS)
    runtime.generations.fail()
    return f"The engine has stopped: {_cause(runtime)}."


def _cause(runtime: Runtime) -> str:
    # Nobody is told of the end of its forks any more, and vLLM takes all of them for ended.
    if runtime.fork_server is not None and (status := runtime.fork_server.exit_status()) is not None:
        return f"its fork server {_how(status)}"
    manager = runtime.llm.engine_core.resources.engine_manager
    finished = manager.finished_procs() if hasattr(manager, "finished_procs") else {}
    for name, status in finished.items():
        return f"its process {name} {_how(status)}"
    return "it reported an error of its own, which the log tells"


def _how(status: int) -> str:
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
