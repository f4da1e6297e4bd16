"""Ends the answer to an HTTP request shortly before its deadline, while there is still a way to say so.

Over gRPC a passed deadline needs no words: the caller's own library has ended the call. Over HTTP a stream that grpcio
ends at the deadline would look complete, so these calls end themselves first, with the error in the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from palaver_server.core.errors import PalaverError, Reason
from palaver_server.rpc.call import Call

MARGIN_SECONDS = 0.1
"""For the last words and the way back. A deadline that is nearer leaves too little time for any answer."""


@asynccontextmanager
async def before_deadline(call: Call, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """Bound the body's time for a transcoded call that has a deadline; other calls are left alone.

    Raises:
        PalaverError: ``DEADLINE_EXCEEDED``.
    """
    remaining = context.time_remaining() if call.is_transcoded else None
    seconds = None if remaining is None else max(remaining - MARGIN_SECONDS, 0)
    scope = asyncio.timeout(seconds)
    try:
        async with scope:
            yield
    except TimeoutError:
        if not scope.expired():
            raise
        raise PalaverError(Reason.DEADLINE_EXCEEDED, "The answer was not whole when the deadline came.") from None
