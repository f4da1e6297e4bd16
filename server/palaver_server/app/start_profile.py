"""Puts the start profile to use: its values go to vLLM and to the admission, its reasons into the log."""

from __future__ import annotations

import os
from collections.abc import Sequence

import structlog

from palaver_server.machine.fitting import profile_for
from palaver_server.settings import Settings

log = structlog.get_logger("palaver.app")


def with_start_profile(settings: Settings, vllm_arguments: Sequence[str]) -> tuple[Settings, tuple[str, ...]]:
    """The settings and vLLM's flags of a start on this machine. What the operator has set is not touched."""
    if (profile := profile_for(settings, vllm_arguments)) is None:
        return settings, tuple(vllm_arguments)
    log.info("start profile", machine=profile.machine, model=settings.model, set_by_hand=list(profile.kept))
    for choice in profile.choices:
        log.info("start profile", choice=choice.name, value=choice.value, reason=choice.reason)
    for name, value in profile.environment.items():
        log.info("start profile", variable=name, value=value)
    for note in profile.notes:
        log.info("start profile", note=note)
    if profile.trouble:
        log.warning("the model may not fit this machine", cause=profile.trouble)
    os.environ.update(profile.environment)  # before vLLM is imported, and for its children
    ours = {choice.name: choice.value for choice in profile.choices if choice.is_ours}
    return settings.model_copy(update=ours), (*profile.vllm_flags, *vllm_arguments)
