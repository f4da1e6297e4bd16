"""The model as a resource."""

from __future__ import annotations

from palaver.v1 import generation_options_pb2, model_pb2
from palaver_server.core.loading import Loading
from palaver_server.core.model import LoadPhase, ModelDescription, SamplingDefaults
from palaver_server.rpc.codec.times import duration_to_proto

_LOAD_PHASES = {
    LoadPhase.FETCHING: model_pb2.LOAD_PHASE_FETCHING,
    LoadPhase.VERIFYING: model_pb2.LOAD_PHASE_VERIFYING,
    LoadPhase.STARTING_ENGINE: model_pb2.LOAD_PHASE_STARTING_ENGINE,
    LoadPhase.LOADING_WEIGHTS: model_pb2.LOAD_PHASE_LOADING_WEIGHTS,
    LoadPhase.PREPARING_ENGINE: model_pb2.LOAD_PHASE_PREPARING_ENGINE,
    LoadPhase.WARMING_UP: model_pb2.LOAD_PHASE_WARMING_UP,
}


def model_to_proto(
    model: ModelDescription, loading: Loading, *, is_draining: bool, has_failed: bool
) -> model_pb2.Model:
    """The model as a resource, with how far its load has come."""
    described = model_pb2.Model(
        name=f"models/{model.model_id}",
        id=model.model_id,
        is_default=True,
        context_length=model.context_length or 0,
        max_output_tokens=model.max_output_tokens or model.context_length or 0,
    )
    progress = loading.progress
    if has_failed or progress.phase is LoadPhase.FAILED:
        described.state = model_pb2.MODEL_STATE_FAILED
    elif is_draining:
        described.state = model_pb2.MODEL_STATE_DRAINING
    elif progress.phase is LoadPhase.READY:
        described.state = model_pb2.MODEL_STATE_READY
    else:
        described.state = model_pb2.MODEL_STATE_LOADING
        described.load_progress.CopyFrom(_load_progress_to_proto(loading))
    if progress.phase is LoadPhase.READY:
        described.system_fingerprint = model.system_fingerprint
        described.default_options.CopyFrom(_defaults_to_proto(model.defaults))
        described.capabilities.SetInParent()
        described.capabilities.tools = model.reads_tools
        described.capabilities.reasoning = model.reads_thoughts
        described.capabilities.structured_output = model.holds_forms
    return described


def _load_progress_to_proto(loading: Loading) -> model_pb2.LoadProgress:
    return model_pb2.LoadProgress(
        phase=_LOAD_PHASES.get(loading.progress.phase, model_pb2.LOAD_PHASE_UNSPECIFIED),
        fraction=loading.progress.fraction,
        elapsed=duration_to_proto(loading.elapsed_seconds),
    )


def _defaults_to_proto(defaults: SamplingDefaults) -> generation_options_pb2.GenerationOptions:
    return generation_options_pb2.GenerationOptions(
        temperature=defaults.temperature,
        top_p=defaults.top_p,
        top_k=defaults.top_k,
        min_p=defaults.min_p,
        repetition_penalty=defaults.repetition_penalty,
        max_output_tokens=defaults.max_output_tokens,
    )
