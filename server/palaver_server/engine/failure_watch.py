"""Notices that the engine has died, also while nobody is asking it anything."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from vllm.v1.engine.async_llm import AsyncLLM

POLL_SECONDS = 0.25
"""vLLM has no callback for its engine's death. A quarter of a second is soon enough and costs nothing."""


async def wait_errored(llm: AsyncLLM, then: Callable[[], None]) -> str:
    """Return when the engine can answer no more, with a sentence about it.

    Args:
        llm: the engine.
        then: called at once, before the sentence is made.
    """
    while not llm.errored:  # noqa: ASYNC110  # vLLM has nothing to wait for
        await asyncio.sleep(POLL_SECONDS)
    then()
    return f"The engine has stopped: {_cause(llm)}."


def _cause(llm: AsyncLLM) -> str:
    manager = llm.engine_core.resources.engine_manager
    finished = manager.finished_procs() if hasattr(manager, "finished_procs") else {}
    for name, status in finished.items():
        if status < 0:
            return f"its process {name} was killed by {signal.Signals(-status).name}"
        return f"its process {name} ended with status {status}"
    return "it reported an error of its own, which the log tells"
