"""Questions to a scripted engine, and what of its answers tests look at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from palaver_server.core.conversation import Message, Role, TextPart
from palaver_server.core.engine import Engine
from palaver_server.core.events import Delta, Event, Finished, Started
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.options import GenerationOptions
from palaver_server.engine.scripted.behaviour import ScriptedBehaviour
from palaver_server.engine.scripted.engine import ScriptedEngine

TEXT = "one two three four five"
DEFAULTS = GenerationOptions()


def said(*turns: tuple[Role, str]) -> tuple[Message, ...]:
    return tuple(Message(role, (TextPart(text),)) for role, text in turns)


def ask(text: str = TEXT, options: GenerationOptions = DEFAULTS, *, is_streamed: bool = True) -> GenerationRequest:
    return GenerationRequest("r1", "", said((Role.USER, text)), options, is_streamed, field_prefix="chat.")


async def loaded(behaviour: ScriptedBehaviour | None = None) -> ScriptedEngine:
    engine = ScriptedEngine(behaviour)
    await engine.load(lambda _: None)
    return engine


async def begin(engine: ScriptedEngine, request: GenerationRequest) -> AsyncGenerator[Event, None]:
    """An answer whose ``Started`` has been read."""
    events = engine.generate(await engine.prepare(request))
    assert isinstance(await anext(events), Started)
    return events


async def collect(engine: Engine, request: GenerationRequest) -> list[tuple[float, Event]]:
    """All events, each with its time from the call's beginning."""
    now = asyncio.get_running_loop().time
    began = now()
    return [(round(now() - began, 6), event) async for event in engine.generate(await engine.prepare(request))]


def finished_of(events: list[tuple[float, Event]]) -> Finished:
    last = events[-1][1]
    assert isinstance(last, Finished)
    return last


def deltas_of(events: list[tuple[float, Event]]) -> list[tuple[float, str, int]]:
    return [(at, event.text, event.token_count) for at, event in events if isinstance(event, Delta)]


def now() -> float:
    return asyncio.get_running_loop().time()
