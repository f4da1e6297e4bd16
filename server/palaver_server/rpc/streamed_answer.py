"""Hands an answer on piece by piece, for callers who get it as a stream, in whatever protocol."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

from palaver_server.core.events import Delta, Event, Finished, Started
from palaver_server.rpc.call import Call, note_finished

MessageT = TypeVar("MessageT")
WrittenT_co = TypeVar("WrittenT_co", covariant=True)


class Writing(Protocol[WrittenT_co]):
    """Writes the events of one stream in the words of a protocol."""

    def start(self, started: Started) -> WrittenT_co:
        """The first message."""

    def piece(self, delta: Delta) -> WrittenT_co:
        """A message for a delta. This runs for each message of each stream: it does no more than it must."""

    def finish(self, finished: Finished) -> WrittenT_co:
        """The last message."""


async def stream_answer(
    events: AsyncIterator[Event],
    call: Call,
    writing: Writing[MessageT],
    send: Callable[[MessageT], Awaitable[None]],
) -> None:
    """Send every event as it comes, and note in the call what its records tell of the answer."""
    to_message, pieces = writing.piece, call.pieces
    delta_count = token_count = 0
    try:
        async for event in events:
            if isinstance(event, Delta):
                if not delta_count:
                    call.first_delta = time.monotonic()
                await send(to_message(event))
                delta_count += 1
                token_count += event.token_count
                if pieces is not None:
                    pieces.append(event)
            elif isinstance(event, Started):
                call.started = event
                await send(writing.start(event))
                call.has_answered = True
            else:
                note_finished(call, event)
                await send(writing.finish(event))
    finally:
        call.delta_count, call.streamed_token_count = delta_count, token_count
