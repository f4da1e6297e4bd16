"""What the programs beside share: where they ask, how they give up, what they write down.

Both clients raise OpenAI's own exceptions, or their own under them.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import openai
import pydantic

URL = os.environ["PALAVER_URL"]
KEY = os.environ["PALAVER_KEY"]
LIMITED_KEY = os.environ["PALAVER_LIMITED_KEY"]
"""It may call once a minute."""
MODEL = os.environ["PALAVER_MODEL"]
CALLING = '/think I ponder.\n/say I look.\n/call get_weather {"city": "Oslo"}'
PLACED = '{"city": "Oslo"}'
LONG = "word " * 1000
"""An answer that takes minutes, so that whoever still generates it is seen."""


class Place(pydantic.BaseModel):
    """Where."""

    city: str


WRONG: Mapping[str, Mapping[str, Any]] = {
    "no such key": {"api_key": "nobody"},
    "a number out of range": {"temperature": 3},
    "another model": {"model": "another"},
    "too long a prompt": {"text": "x " * 9000},
    "over its limit": {"api_key": LIMITED_KEY},
}


def failures(whole: Callable[..., Any], streamed: Callable[..., Any]) -> dict[str, list[list[Any]]]:
    """The exception and the HTTP status of each wrong request, asked for in one piece and as a stream."""
    with contextlib.suppress(openai.RateLimitError):
        whole(api_key=LIMITED_KEY)
    told: dict[str, list[list[Any]]] = {}
    for name, fields in WRONG.items():
        for ask in (whole, streamed):
            try:
                ask(**fields)
            except openai.APIStatusError as error:
                told.setdefault(name, []).append([type(error).__name__, error.status_code])
    return told


async def freed(
    ask: Callable[..., Awaitable[Any]], stream: Callable[[str], Awaitable[AsyncIterator[Any]]]
) -> list[str]:
    """Give answers up in each way that there is, and tell after which the server's only place was free again."""
    ways = []
    chunks = await stream(LONG)
    await anext(chunks)
    await chunks.aclose()
    await _wait_for_room(ask)
    ways.append("closed")
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in await stream(LONG):
            begun.set()

    running = asyncio.ensure_future(read())
    await begun.wait()
    running.cancel()
    await asyncio.wait({running})
    await _wait_for_room(ask)
    ways.append("cancelled")
    try:
        await ask(LONG, timeout=1)
    except openai.APITimeoutError:
        await _wait_for_room(ask)
        ways.append("timed out")
    return ways


async def _wait_for_room(ask: Callable[..., Awaitable[Any]]) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await ask("a")
            except openai.RateLimitError:
                await asyncio.sleep(0.1)
            else:
                return


def run(*cases: Callable[[], Any]) -> None:
    """Write what each case got, by its name, into the file that the command line names."""
    got = {case.__name__: asyncio.run(case()) if inspect.iscoroutinefunction(case) else case() for case in cases}
    Path(sys.argv[1]).write_text(json.dumps(got), encoding="utf-8")
