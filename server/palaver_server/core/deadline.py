"""What a caller's deadline means for an answer, before the engine does any work for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.generation import GenerationRequest

MIN_SECONDS = 0.02
"""With less time left not even a first token would arrive: rendering, a step of a fast engine, and the way back."""
MARGIN_SECONDS = 0.1
"""How long before its deadline an answer ends that was asked to end before it: for the last step and the way back."""


def within_time(request: GenerationRequest) -> GenerationRequest:
    """The request with the time limit that its deadline asks for, counted from now.

    Raises:
        PalaverError: ``DEADLINE_TOO_SHORT``, too little time is left to begin.
    """
    if request.deadline is None:
        return request
    left = request.deadline - asyncio.get_running_loop().time()
    if request.options.stops_before_deadline:
        left -= MARGIN_SECONDS
    if left < MIN_SECONDS:
        raise PalaverError(
            Reason.DEADLINE_TOO_SHORT,
            f"The call's deadline leaves too little time to begin ({max(left, 0.0) * 1000:.0f} ms); give it more.",
        )
    if not request.options.stops_before_deadline:
        return request
    limit = request.options.time_limit_seconds
    limit = left if limit is None else min(limit, left)
    return replace(request, options=replace(request.options, time_limit_seconds=limit))
