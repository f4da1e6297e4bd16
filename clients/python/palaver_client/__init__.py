"""The Python client of palaver, with and without asyncio.

::

    from palaver_client import Client

    with Client() as client:
        print(client.chat("What is the capital of France?"))

``Client`` and ``AsyncClient`` do the same; ``Conversation`` and ``AsyncConversation`` remember what was said;
``errors`` has what calls fail with. Messages of the contract, where they are taken or given, are those of
``palaver.v1``.
"""

from palaver_client import errors
from palaver_client.answer import Answer, FinishReason
from palaver_client.async_client import AsyncClient
from palaver_client.async_stream import AsyncStream
from palaver_client.client import Client
from palaver_client.conversation import AsyncConversation, Conversation
from palaver_client.options import (
    CallOptions,
    ChatOptions,
    MessageDict,
    MessageLike,
    Prompt,
    StreamOptions,
    ToolDict,
)
from palaver_client.pieces import Piece, TextPiece, ThoughtPiece, ToolCallPiece
from palaver_client.retry import RetryPolicy
from palaver_client.stream import Stream
from palaver_client.tool_call import ToolCall, ToolCallState

__all__ = [
    "Answer",
    "AsyncClient",
    "AsyncConversation",
    "AsyncStream",
    "CallOptions",
    "ChatOptions",
    "Client",
    "Conversation",
    "FinishReason",
    "MessageDict",
    "MessageLike",
    "Piece",
    "Prompt",
    "RetryPolicy",
    "Stream",
    "StreamOptions",
    "TextPiece",
    "ThoughtPiece",
    "ToolCall",
    "ToolCallPiece",
    "ToolCallState",
    "ToolDict",
    "errors",
]
