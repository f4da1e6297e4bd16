"""The start profile of this machine for these settings: looks at GPUs, packages and the model's files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from palaver_server.engine.vllm.cpu import CPU_DEFAULTS
from palaver_server.machine import cgroups, cores
from palaver_server.machine.cards import alike, environment_for, visible, ways_to_divide
from palaver_server.machine.choosing import choose
from palaver_server.machine.gpus import Gpu, find_gpus
from palaver_server.machine.memory import ServedModel
from palaver_server.machine.packages import vllm_flavour
from palaver_server.machine.profile import Choice, StartProfile
from palaver_server.models.catalogue import CatalogueModel
from palaver_server.models.describe import describe
from palaver_server.models.errors import ModelFilesError
from palaver_server.models.store import ModelStore
from palaver_server.settings import Settings

SHORT_FLAGS = {
    "tp": "tensor-parallel-size",
    "pp": "pipeline-parallel-size",
    "dp": "data-parallel-size",
    "pcp": "prefill-context-parallel-size",
    "q": "quantization",
}
"""vLLM's short names of arguments that matter here."""
PARALLEL_SIZES = (
    "tensor-parallel-size",
    "pipeline-parallel-size",
    "data-parallel-size",
    "prefill-context-parallel-size",
)
"""What multiplies workers."""


def profile_for(settings: Settings, vllm_arguments: Sequence[str]) -> StartProfile | None:
    """The profile for a start with these settings and flags. None where it is switched off, or no model is run.

    Changes nothing. Asks the driver for its GPUs, which may take a second where nothing keeps it awake.
    """
    if settings.engine != "vllm" or settings.start_profile == "off":
        return None
    given = given_arguments(settings, vllm_arguments)
    found = find_gpus().devices if vllm_flavour() == "gpu" else ()
    seen = visible(found, os.environ)
    if not seen:
        return _without_gpu(settings, given)
    used = alike(seen)
    if any(gpu.total_bytes is None or gpu.capability is None for gpu in used):
        return StartProfile(
            machine=used[0].name, notes=("The driver does not tell of the GPUs' memory; all is left to vLLM.",)
        )
    if (model := _served_model(settings)) is None:
        note = f"What {settings.model} needs is known once it has been fetched; until then all is left to vLLM."
        return StartProfile(machine=used[0].name, notes=(note,))
    return _with_environment(choose(used, ways_to_divide(len(used)), model, given), used, seen)


def given_arguments(settings: Settings, vllm_arguments: Sequence[str]) -> dict[str, str]:
    """What the operator has set, by vLLM's names with dashes; a bare flag is ``true``, its opposite ``false``."""
    given = {name.replace("_", "-"): str(value) for name, value in settings.vllm.items()}
    words = [*vllm_arguments, "--"]
    for word, following in pairwise(words):
        if not word.startswith("-") or word == "--":
            continue
        name, equals, value = word.lstrip("-").partition("=")
        name = SHORT_FLAGS.get(name, name).replace("_", "-")
        value = value if equals else "true" if following.startswith("-") else following
        given[name.removeprefix("no-")] = "false" if name.startswith("no-") else value
    if "max_concurrent_requests" in settings.model_fields_set:
        given["max-concurrent-requests"] = str(settings.max_concurrent_requests)
    return given


def _without_gpu(settings: Settings, given: Mapping[str, str]) -> StartProfile:
    names = {name: name.replace("_", "-") for name in CPU_DEFAULTS}
    notes = ["The KV cache gets room for four conversations of full length, and at most half of the free memory."]
    variables: dict[str, str] = {}
    if settings.front_ends == 1 and all(given.get(size, "1") == "1" for size in PARALLEL_SIZES):
        model = _served_model(settings)
        weight_bytes = None if model is None else model.weight_bytes
        found, limit = cores.physical_cores(), cgroups.processor_limit()
        variables = cores.binding_for(weight_bytes, found, os.environ, limit)
    if variables:
        notes.append(f"Both cores compute: vLLM would keep one for scheduling. {cores.BINDING}=auto leaves it to vLLM.")
    return StartProfile(
        machine="no GPU that vLLM could use",
        choices=tuple(
            Choice(names[name], default.value, default.reason)
            for name, default in CPU_DEFAULTS.items()
            if names[name] not in given
        ),
        kept=tuple(name for name in names.values() if name in given),
        notes=tuple(notes),
        environment=variables,
    )


def _served_model(settings: Settings) -> ServedModel | None:
    store = ModelStore(settings.cache_dir.expanduser())
    known = store.catalogue.get(settings.model)
    try:
        files = describe(store.locate(settings.model))
    except ModelFilesError:
        return _of_catalogue(known) if known is not None else None
    return ServedModel(
        name=settings.model,
        weight_bytes=files.weight_bytes,
        context_length=files.context_length,
        shape=files.shape,
        quantization=files.quantization,
    )


def _of_catalogue(model: CatalogueModel) -> ServedModel:
    return ServedModel(
        name=model.name,
        weight_bytes=model.weight_bytes,
        context_length=model.context_length,
        shape=model.shape,
        quantization=model.quantization,
    )


def _with_environment(profile: StartProfile, used: Sequence[Gpu], seen: Sequence[Gpu]) -> StartProfile:
    if not (variables := environment_for(used, seen, os.environ)):
        return profile
    note = f"{len(seen) - len(used)} GPUs of another kind are left alone; CUDA_VISIBLE_DEVICES chooses others."
    return replace(profile, environment=variables, notes=(*profile.notes, note))
