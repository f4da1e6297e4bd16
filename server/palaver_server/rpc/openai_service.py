"""``palaver.v1.OpenAIService``: in the contract, not served yet; every call says so by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.api import httpbody_pb2

from palaver.v1 import openai_service_pb2, openai_service_pb2_grpc
from palaver_server.core.errors import PalaverError, Reason

Context = grpc.aio.ServicerContext[Any, Any]


class OpenAIService(openai_service_pb2_grpc.OpenAIServiceServicer):
    """Refuses each method with ``METHOD_NOT_SUPPORTED``."""

    async def CreateChatCompletion(  # noqa: N802  # the contract's name
        self, request: httpbody_pb2.HttpBody, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Refuse."""
        raise _not_supported()
        yield httpbody_pb2.HttpBody()  # type: ignore[unreachable]  # makes this the generator that the contract asks for

    async def ListOpenAIModels(  # noqa: N802  # the contract's name
        self, request: openai_service_pb2.ListOpenAIModelsRequest, context: Context
    ) -> httpbody_pb2.HttpBody:
        """Refuse."""
        raise _not_supported()

    async def GetOpenAIModel(  # noqa: N802  # the contract's name
        self, request: openai_service_pb2.GetOpenAIModelRequest, context: Context
    ) -> httpbody_pb2.HttpBody:
        """Refuse."""
        raise _not_supported()


def _not_supported() -> PalaverError:
    return PalaverError(
        Reason.METHOD_NOT_SUPPORTED, "This server does not speak OpenAI's protocol yet; use palaver.v1.ChatService."
    )
