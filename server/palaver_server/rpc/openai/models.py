"""The served model in OpenAI's words."""

from __future__ import annotations

from typing import Any

from palaver_server.core.model import ModelDescription
from palaver_server.core.strict_json import to_json


def model_json(model: ModelDescription, created: int) -> bytes:
    """One model."""
    return to_json(_model(model, created)).encode()


def model_list_json(models: list[ModelDescription], created: int) -> bytes:
    """The list of models, which has one page."""
    return to_json({"object": "list", "data": [_model(model, created) for model in models]}).encode()


def _model(model: ModelDescription, created: int) -> dict[str, Any]:
    return {
        "id": model.model_id,
        "object": "model",
        "created": created,
        "owned_by": "palaver",
        "root": model.model_id,
        "parent": None,
        "max_model_len": model.context_length,
    }
