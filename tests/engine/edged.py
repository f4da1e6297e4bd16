"""palaver with its edge in front of an engine that is loaded already."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from palaver_server.app import App
from palaver_server.app.edge import Edge
from palaver_server.engine.vllm.engine import VllmEngine
from palaver_server.settings import load_settings


class Loaded:
    """An engine that is loaded already, and that stays so when its server ends."""

    def __init__(self, engine: VllmEngine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def load(self, report: Any) -> None:
        """It is."""

    async def wait_failed(self) -> str:
        await asyncio.Event().wait()
        return ""

    async def shutdown(self) -> None:
        """Others need it still."""

    def kill(self) -> None:
        """As above."""


class Heard:
    """Waits for the start."""

    def __init__(self) -> None:
        self.is_ready = asyncio.Event()

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None

    def ready(self, *_: Any) -> None:
        self.is_ready.set()


@asynccontextmanager
async def edged(engine: VllmEngine, model_id: str, state: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Serve until the block ends; gives a client of the edge's HTTPS address."""
    settings = load_settings(
        engine="scripted",  # not built: the engine is there
        served_model_name=model_id,
        listen="127.0.0.1:0",
        edge_listen="127.0.0.1:0",
        edge_status_listen="127.0.0.1:0",
        edge_workers=1,
        state_dir=state,
        grace=0.0,
    )
    edge, heard = Edge(settings), Heard()
    edge.prepare()
    app = App(settings, Loaded(engine), heard, edge)
    running = asyncio.create_task(app.run())
    ready = asyncio.create_task(heard.is_ready.wait())
    await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
    assert not running.done(), running.result()
    url = f"https://localhost:{edge.address.rpartition(':')[2]}"
    verify = ssl.create_default_context(cafile=str(edge.ca))
    try:
        async with httpx.AsyncClient(base_url=url, verify=verify, timeout=60, trust_env=False) as client:
            yield client
    finally:
        app.ask_to_stop()
        await running
