"""A process that owns an engine, for tests that kill it, or that kill the engine under it.

Run as ``python owner.py WHAT MODEL [FLAG...]``; it says what happens as JSON lines on standard output.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Sequence

import psutil

from palaver_server.core.conversation import Message, Role, TextPart
from palaver_server.core.engine import EngineStartError, ReportProgress
from palaver_server.core.errors import PalaverError
from palaver_server.core.events import Delta
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.model import LoadProgress
from palaver_server.core.options import GenerationOptions
from palaver_server.engine.vllm.engine import VllmEngine

STORY = GenerationRequest(
    request_id="story",
    model="",
    messages=(Message(Role.USER, (TextPart("Write a long story about a ship and its crew."),)),),
    options=GenerationOptions(temperature=2.0),
    is_streamed=True,
)


def say(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def report(progress: LoadProgress) -> None:
    say(phase=progress.phase.value, fraction=progress.fraction, detail=progress.detail)


def new_engine(model: str, flags: Sequence[str]) -> VllmEngine:
    async def find_model(report: ReportProgress) -> str:
        return model

    return VllmEngine(find_model, model_id="owned", flags=flags)


async def serve(model: str, flags: Sequence[str]) -> None:
    """Load, and live until killed. Tells the longest time for which the event loop stood still."""
    engine = new_engine(model, flags)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - before - 0.01)

    watching = asyncio.create_task(watch())
    await engine.load(report)
    watching.cancel()
    say(loaded=True, longest_stall=longest)
    await asyncio.Event().wait()


async def fail(model: str, flags: Sequence[str]) -> None:
    """Load, kill the engine core in the middle of answers, and tell what became of everybody."""
    engine = new_engine(model, flags)
    await engine.load(lambda progress: None)
    failed = asyncio.create_task(engine.wait_failed())
    reading = asyncio.Semaphore(0)

    async def read() -> str:
        try:
            async for event in engine.generate(await engine.prepare(STORY)):
                if isinstance(event, Delta):
                    reading.release()
        except PalaverError as error:
            return f"{error.reason} {error.retry_after_seconds}"
        return "ended"

    tasks = [asyncio.create_task(read()) for _ in range(8)]
    for _ in tasks:
        await reading.acquire()
    engine_processes = _engine_processes()
    core = next(process for process in engine_processes if "EngineCore" in process.name())
    core.kill()
    killed = time.monotonic()
    # More begin in the very moment, which is when vLLM itself leaves them waiting for ever.
    for _ in range(100):
        tasks.append(asyncio.create_task(read()))
        await asyncio.sleep(0.003)
    outcomes = await asyncio.gather(*tasks)
    ended = time.monotonic()
    sentence = await failed
    noticed = time.monotonic()
    await engine.shutdown()
    _, left = psutil.wait_procs(engine_processes, timeout=5)
    say(
        outcomes=sorted(set(outcomes)),
        ended_after=ended - killed,
        noticed_after=noticed - killed,
        sentence=sentence,
        left=len(left),
    )


async def leave(model: str, flags: Sequence[str]) -> None:
    """Stop an engine in the middle of its load, in two ways, each when the engine core is being started."""
    for way in ("cancelled", "shut down"):
        engine = new_engine(model, flags)
        is_starting = asyncio.Event()

        def watch(progress: LoadProgress, is_starting: asyncio.Event = is_starting) -> None:
            if progress.detail == "starting the engine":
                is_starting.set()

        load = asyncio.create_task(engine.load(watch))
        await is_starting.wait()
        while not _engine_processes():
            await asyncio.sleep(0.01)
        began = time.monotonic()
        if way == "cancelled":
            load.cancel()
        else:
            await engine.shutdown()
        (outcome,) = await asyncio.gather(load, return_exceptions=True)
        say(way=way, outcome=repr(outcome), seconds=time.monotonic() - began, left=len(_engine_processes()))


async def refuse(cases: Sequence[str]) -> None:
    """Try to load what cannot be loaded: each case is a JSON list of the model and the flags."""
    for case in cases:
        model, *flags = json.loads(case)
        engine = new_engine(model, flags)
        try:
            await engine.load(lambda progress: None)
        except EngineStartError as error:
            say(error=str(error), left=len(_engine_processes()))


def _engine_processes() -> list[psutil.Process]:
    """Children, but for the resource tracker, which belongs to multiprocessing and ends with this process."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if child.is_running() and "resource_tracker" not in " ".join(child.cmdline())]


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)  # as a server's log is for vLLM, and more
    what, *rest = sys.argv[1:]
    if what == "refuse":
        asyncio.run(refuse(rest))
    else:
        asyncio.run({"serve": serve, "fail": fail, "leave": leave}[what](rest[0], rest[1:]))
