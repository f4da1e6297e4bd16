"""When the answer to an HTTP request has to end, while there is still a way to say that its time is over.

Over gRPC a passed deadline needs no words: the caller's own library has ended the call. Over HTTP a stream that grpcio
ends at the deadline would look complete, so these calls end themselves first, with the error in the answer.
"""

from __future__ import annotations

from typing import Any

import grpc

from palaver_server.rpc.call import Call, deadline_of

MARGIN_SECONDS = 0.1
"""For the last words and the way back. A deadline that is nearer leaves too little time for any answer."""


def end_of_answer(call: Call, context: grpc.aio.ServicerContext[Any, Any]) -> float | None:
    """The time on the event loop's clock; None for callers over gRPC, and for those who wait for ever."""
    deadline = deadline_of(context) if call.is_transcoded else None
    return None if deadline is None else deadline - MARGIN_SECONDS
