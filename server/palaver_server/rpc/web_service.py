"""``palaver.v1.WebService``: health, the OpenAPI document and its page, for callers over HTTP."""

from __future__ import annotations

import importlib.resources
from typing import Any

import grpc
from google.api import httpbody_pb2
from google.protobuf import json_format

from palaver.v1 import web_service_pb2, web_service_pb2_grpc
from palaver_server.core.chat import Chat
from palaver_server.core.readiness import NotReady, Readiness
from palaver_server.rpc import codec
from palaver_server.rpc.call import current_call

Context = grpc.aio.ServicerContext[Any, Any]

_STATUSES = {
    NotReady.ENGINE_FAILED: "failed",
    NotReady.DRAINING: "stopping",
    NotReady.LEAVING: "stopping",
    NotReady.LOADING: "loading",
}
"""What the first of these that stands against serving is called."""
_PAGE_HEADERS = (
    # The page has a style of its own and nothing else: no scripts, no frames, nothing from elsewhere.
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-cache"),
)


class WebService(web_service_pb2_grpc.WebServiceServicer):
    """Asks nobody for a key. The pages are made from the contract (``protos/openapi``) and read once."""

    def __init__(self, chat: Chat, readiness: Readiness) -> None:
        self._chat = chat
        self._readiness = readiness
        pages = importlib.resources.files("palaver.v1")
        self._document = pages.joinpath("openapi.json").read_bytes()
        self._page = pages.joinpath("docs.html").read_bytes()

    async def GetHealth(  # noqa: N802  # the contract's name
        self, request: web_service_pb2.GetHealthRequest, context: Context
    ) -> web_service_pb2.GetHealthResponse:
        """Fail while chats are not answered: then the answer is the body of the error."""
        answer = web_service_pb2.GetHealthResponse(
            status=next((name for reason, name in _STATUSES.items() if reason in self._readiness), "healthy"),
            model=self._chat.model.model_id,
            timestamp=codec.timestamp_now(),
        )
        # Before any metadata is sent: an error that follows it could not choose its body any more.
        if not self._readiness.is_ready:
            current_call.get().error_body = json_format.MessageToJson(answer, indent=None, ensure_ascii=True)
            raise self._chat.refusal()
        await context.send_initial_metadata((("cache-control", "no-store"),))
        return answer

    async def GetOpenAPIDocument(  # noqa: N802  # the contract's name
        self, request: web_service_pb2.GetOpenAPIDocumentRequest, context: Context
    ) -> httpbody_pb2.HttpBody:
        """The committed document."""
        await context.send_initial_metadata(_PAGE_HEADERS)
        return httpbody_pb2.HttpBody(content_type="application/json", data=self._document)

    async def GetDocumentation(  # noqa: N802  # the contract's name
        self, request: web_service_pb2.GetDocumentationRequest, context: Context
    ) -> httpbody_pb2.HttpBody:
        """The committed page."""
        await context.send_initial_metadata(_PAGE_HEADERS)
        return httpbody_pb2.HttpBody(content_type="text/html; charset=utf-8", data=self._page)
