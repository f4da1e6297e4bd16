"""Finds what the engine loads, and tells the load's progress meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

from palaver_server.core.engine import EngineStartError, ReportProgress
from palaver_server.core.model import LoadPhase, LoadProgress
from palaver_server.models.catalogue import CATALOGUE
from palaver_server.models.errors import ModelFilesError
from palaver_server.models.progress import Phase, Progress
from palaver_server.models.store import ModelStore
from palaver_server.settings import Settings


async def find_model(settings: Settings, report: ReportProgress) -> str:
    """A folder with whole files, or a name that vLLM fetches.

    Raises:
        EngineStartError: the files cannot be had, or are damaged; one sentence with what to do.
    """
    loop = asyncio.get_running_loop()
    is_leaving = False

    def relay(progress: Progress) -> None:
        if is_leaving:
            raise asyncio.CancelledError
        phase = LoadPhase.VERIFYING if progress.phase is Phase.CHECK else LoadPhase.FETCHING
        loop.call_soon_threadsafe(report, LoadProgress(phase, progress.pull_fraction, progress.text))

    store = ModelStore(settings.cache_dir.expanduser())
    try:
        return str(await asyncio.to_thread(store.ensure, settings.model, relay))
    except ModelFilesError as error:
        raise EngineStartError(error.message) from error
    except asyncio.CancelledError:
        is_leaving = True  # the thread hears of it at its next report, at the latest a second from now
        raise


def model_id(settings: Settings) -> str:
    """The name that requests use: the one that was set, the model's own, or that of its folder."""
    if settings.served_model_name:
        return settings.served_model_name
    if settings.model in CATALOGUE or not Path(settings.model).expanduser().is_dir():
        return settings.model
    return Path(settings.model).expanduser().resolve().name
