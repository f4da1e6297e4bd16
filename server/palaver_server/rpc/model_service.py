"""``palaver.v1.ModelService``: which model is served, and how far its load has come. Works from the first second."""

from __future__ import annotations

from typing import Any

import grpc

from palaver.v1 import model_pb2, model_service_pb2, model_service_pb2_grpc
from palaver_server.core.chat import Chat
from palaver_server.core.errors import FieldViolation, PalaverError, Reason, invalid_field
from palaver_server.core.identity.rights import require_model
from palaver_server.core.loading import Loading
from palaver_server.core.readiness import NotReady, Readiness
from palaver_server.rpc import codec
from palaver_server.rpc.call import current_call
from palaver_server.rpc.validation import check

Context = grpc.aio.ServicerContext[Any, Any]


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Describes the one model of this server."""

    def __init__(self, chat: Chat, readiness: Readiness, loading: Loading) -> None:
        self._chat = chat
        self._readiness = readiness
        self._loading = loading

    async def ListModels(  # noqa: N802  # the contract's name
        self, request: model_service_pb2.ListModelsRequest, context: Context
    ) -> model_service_pb2.ListModelsResponse:
        """One page with the one model, if the caller may use it."""
        await check(request)
        if request.page_token:
            raise invalid_field("page_token", "is not one that this server gave out")
        model = self._model()
        may_use = current_call.get().client.may_use_model(model.id)
        return model_service_pb2.ListModelsResponse(models=[model] if may_use else [])

    async def GetModel(  # noqa: N802  # the contract's name
        self, request: model_service_pb2.GetModelRequest, context: Context
    ) -> model_pb2.Model:
        """Describe the model by its resource name."""
        await check(request)
        model = self._model()
        if request.name != model.name:
            raise PalaverError(
                Reason.MODEL_NOT_FOUND,
                f"This server does not serve that model. It serves {model.name!r}.",
                violations=[FieldViolation("name", f"no such model here; {model.name!r} is served")],
                metadata={"model": model.id},
            )
        require_model(current_call.get().client, model.id, field="name")
        return model

    def _model(self) -> model_pb2.Model:
        return codec.model_to_proto(
            self._chat.model,
            self._loading,
            is_draining=not self._readiness.is_accepting and NotReady.DRAINING in self._readiness,
            has_failed=NotReady.ENGINE_FAILED in self._readiness,
        )
