"""Reading server-sent events: when bytes came is noted at once, what they say is read once the answer has ended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any

import aiohttp

EVENT = b"data: "
LAST_EVENT = b"[DONE]"

Piece = tuple[float, bytes]


async def ask(session: aiohttp.ClientSession, url: str, body: object) -> tuple[float, list[Piece]]:
    """Post a question; give when it was sent, and the answer's bytes with the times at which they came."""
    began = perf_counter()
    async with session.post(url, json=body) as response:
        response.raise_for_status()
        return began, [(perf_counter(), piece) async for piece in response.content.iter_any()]


def events(pieces: Sequence[Piece]) -> Iterator[tuple[float, dict[str, Any]]]:
    """Each event with the time at which its last byte came."""
    rest = b""
    for came_at, piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(EVENT) and not line.startswith(EVENT + LAST_EVENT):
                yield came_at, json.loads(line.removeprefix(EVENT))
