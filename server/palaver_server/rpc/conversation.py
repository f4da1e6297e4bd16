"""Which requests carry a conversation, and where."""

from __future__ import annotations

from google.protobuf.message import Message

from palaver.v1 import chat_service_pb2

_ABOUT_CHATS = (
    chat_service_pb2.StreamChatRequest,
    chat_service_pb2.CountTokensRequest,
    chat_service_pb2.ExplainChatRequest,
)


def conversation_of(request: Message) -> chat_service_pb2.ChatRequest | None:
    """The conversation that a request is or carries; None where it has none."""
    if isinstance(request, chat_service_pb2.ChatRequest):
        return request
    return request.chat if isinstance(request, _ABOUT_CHATS) else None
