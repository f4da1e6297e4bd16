"""How long an answer took, in the words of vLLM's ``metrics``."""

from __future__ import annotations

from typing import Any

from palaver_server.core.events import Finished


def metrics_to_json(finished: Finished) -> dict[str, float | None] | None:
    """The ``metrics`` of an answer, in milliseconds by the engine's clock; None where the engine does not tell.

    As vLLM has it, they are of an only choice, and the time to the first token counts from the start of the work.
    """
    timings, tokens = finished.timings, finished.usage.output_token_count
    queue, first, total = timings.queue_seconds, timings.first_token_seconds, timings.total_seconds
    if len(finished.choices) > 1 or queue is None or first is None or total is None:
        return None
    decoding, working = total - first, total - queue
    said: dict[str, Any] = {
        "time_to_first_token_ms": (first - queue) * 1000,
        "generation_time_ms": decoding * 1000,
        "queue_time_ms": queue * 1000,
        "mean_itl_ms": decoding / (tokens - 1) * 1000 if tokens > 1 else None,
        "tokens_per_second": tokens / working if working > 0 else None,
    }
    return {name: None if value is None else round(value, 3) for name, value in said.items()}
