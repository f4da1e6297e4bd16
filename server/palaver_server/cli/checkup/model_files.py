"""Checks of the model's files and of the disk that they come to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from palaver_server.cli.checkup.finding import Finding, ok, problem
from palaver_server.models.catalogue import CatalogueModel, HubSource, WheelSource
from palaver_server.models.describe import describe
from palaver_server.models.errors import ModelFilesError, ModelFilesReason
from palaver_server.models.store import SPARE_BYTES, ModelStore, State
from palaver_server.settings import Settings


def model(settings: Settings) -> Finding:
    """Whether the model is here and whole, or can be had."""
    if settings.engine != "vllm":
        return ok(f"Not needed: the engine is {settings.engine}.")
    store = _store(settings)
    known = store.catalogue.get(settings.model)
    if known is not None and isinstance(known.source, WheelSource):
        condition = store.condition(known)
        if condition.state is State.READY:
            return ok(f"{known.name} is here and whole.")
        if condition.state is State.DAMAGED:
            return problem(f"{known.name} is damaged: {condition.why}.", f"palaver models pull {known.name}")
        return ok(f"{known.name} is not here yet; `palaver serve` fetches {_mb(known.source.wheel_bytes)} first.")
    try:
        folder = store.locate(settings.model)
        files = describe(folder)
    except ModelFilesError as error:
        if error.reason is not ModelFilesReason.NOT_FETCHED:
            return problem(error.message, "`palaver models list` names those that need no folder")
        size = f" ({_mb(known.weight_bytes)})" if known else ""
        if os.environ.get("HF_HUB_OFFLINE", "0") not in ("0", ""):
            return problem(
                f"{settings.model} is not here, and HF_HUB_OFFLINE forbids to fetch it.",
                "unset HF_HUB_OFFLINE, or give a folder with --model",
            )
        return ok(f"{settings.model} is not here yet; vLLM fetches it{size} from the model hub at the first start.")
    return ok(f"{settings.model} is here: {_mb(files.weight_bytes)} of weights in {files.weight_file_count} files.")


def disk(settings: Settings) -> Finding:
    """Room for what is still to be fetched."""
    known = _store(settings).catalogue.get(settings.model) if settings.engine == "vllm" else None
    is_hub = known is not None and isinstance(known.source, HubSource)
    folder = _existing(_hub_cache() if is_hub else settings.cache_dir.expanduser())
    free = shutil.disk_usage(folder).free
    needed = _missing_bytes(settings, known)
    if free < needed:
        return problem(
            f"{_mb(free)} free on the disk of {folder}, and {_mb(needed)} are still to be fetched.",
            "free some, or " + ("set HF_HOME to a larger disk" if is_hub else "give a folder with --cache-dir"),
        )
    return ok(
        f"{_mb(free)} free on the disk of {folder}" + (f"; {_mb(needed)} are still to be fetched." if needed else ".")
    )


def weight_bytes(settings: Settings) -> int | None:
    """Size of the model's weights; None where nobody knows before they are fetched."""
    store = _store(settings)
    if (known := store.catalogue.get(settings.model)) is not None:
        return known.weight_bytes
    try:
        return describe(store.locate(settings.model)).weight_bytes
    except ModelFilesError:
        return None


def _missing_bytes(settings: Settings, known: CatalogueModel | None) -> int:
    if known is None:
        return 0
    store = _store(settings)
    if isinstance(known.source, WheelSource):
        source = known.source
        is_here = store.condition(known).state is State.READY
        return 0 if is_here else source.wheel_bytes + source.member_bytes + known.weight_bytes + SPARE_BYTES
    try:
        store.locate(known.name)
    except ModelFilesError:
        return known.weight_bytes
    return 0


def _store(settings: Settings) -> ModelStore:
    return ModelStore(settings.cache_dir.expanduser())


def _hub_cache() -> Path:
    """Where the model hub's own downloader keeps its files (huggingface_hub, environment variables)."""
    home = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"))
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()


def _existing(path: Path) -> Path:
    """The nearest folder on the way to a path that is there."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir())


def _mb(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"  # noqa: PLR2004
