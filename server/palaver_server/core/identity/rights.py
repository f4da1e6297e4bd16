"""What a client may use."""

from __future__ import annotations

from palaver_server.core.errors import FieldViolation, PalaverError, Reason
from palaver_server.core.identity.client import Client


def require_model(client: Client, model: str, *, field: str) -> None:
    """See that a client may use a served model.

    Raises:
        PalaverError: ``MODEL_NOT_ALLOWED``, naming the field of the request that chose the model.
    """
    if not client.may_use_model(model):
        raise PalaverError(
            Reason.MODEL_NOT_ALLOWED,
            f"The API key may not use the model {model!r}.",
            violations=[FieldViolation(field, f"this API key may not use {model!r}")],
            metadata={"model": model},
        )
