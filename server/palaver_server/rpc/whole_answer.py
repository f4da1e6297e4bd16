"""Reads an answer to its end, for callers who get it in one piece."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from palaver_server.core.answer import WholeAnswer
from palaver_server.core.events import Delta, Event, Finished, Started
from palaver_server.rpc.call import Call, note_finished


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """All that the engine has told."""

    started: Started
    said: WholeAnswer
    finished: Finished


async def read_whole(events: AsyncIterator[Event], call: Call) -> ReadAnswer:
    """Put the pieces together, and note in the call what its records tell of the answer."""
    said = WholeAnswer()
    async for event in events:
        if isinstance(event, Delta):
            said.add(event)
            if call.pieces is not None:
                call.pieces.append(event)
        elif isinstance(event, Started):
            call.started = started = event
        else:
            finished = event
    note_finished(call, finished)
    return ReadAnswer(started, said, finished)
