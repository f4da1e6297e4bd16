"""``palaver.v1.ChatService``: decode, call, encode."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc
from palaver_server.core.chat import Chat
from palaver_server.core.generation import GenerationRequest
from palaver_server.rpc import codec
from palaver_server.rpc.call import (
    Call,
    current_call,
    deadline_of,
    new_answer_id,
    note_generation,
    seconds_before_engine,
)
from palaver_server.rpc.deadline import end_of_answer
from palaver_server.rpc.errors import status_from_error, told_error
from palaver_server.rpc.generation import generation_of
from palaver_server.rpc.kept_alive import KeptAlive
from palaver_server.rpc.streamed_answer import stream_answer
from palaver_server.rpc.validation import check
from palaver_server.rpc.whole_answer import read_whole

Context = grpc.aio.ServicerContext[Any, Any]
Write = Callable[[chat_service_pb2.StreamChatResponse], Awaitable[None]]


class ChatService(chat_service_pb2_grpc.ChatServiceServicer):
    """Answers conversations through ``core.chat``.

    Args:
        chat: answers.
        keepalive_seconds: after so much silence a stream to a caller over REST gets an empty event.
    """

    def __init__(self, chat: Chat, *, keepalive_seconds: float) -> None:
        self._chat = chat
        self._keepalive_seconds = keepalive_seconds

    async def Chat(  # noqa: N802  # the contract's name
        self, request: chat_service_pb2.ChatRequest, context: Context
    ) -> chat_service_pb2.ChatResponse:
        """Answer in one piece."""
        await check(request)
        call = current_call.get()
        generation = generation_of(call, request, deadline=deadline_of(context))
        note_generation(call, generation, self._chat.model.model_id)
        async with self._chat.answer(generation, until=end_of_answer(call, context)) as events:
            create_time = codec.timestamp_now()
            answer = await read_whole(events, call)
        return codec.answer_to_proto(
            answer.started,
            answer.said,
            answer.finished,
            answer_id=new_answer_id(call, "chat"),
            model=self._chat.model,
            create_time=create_time,
            before_engine_seconds=seconds_before_engine(call),
        )

    async def StreamChat(  # type: ignore[override]  # noqa: N802  # writes instead of yielding, as grpc.aio allows
        self, request: chat_service_pb2.StreamChatRequest, context: Context
    ) -> None:
        """Answer piece by piece. Writes to the context: that waits while the reader is slow, and costs the least."""
        call = current_call.get()
        if not call.is_transcoded:  # over gRPC pings keep a call alive, and its status is all that it needs of an error
            await self._stream(request, context, call, context.write)
            return
        events = KeptAlive(context, call, chat_service_pb2.StreamChatResponse)
        try:
            async with events.kept_alive(self._keepalive_seconds):
                await self._stream(request, context, call, events.write)
        except Exception as error:
            if call.has_answered:  # the HTTP status is out; that of the call follows by itself
                status = status_from_error(told_error(error), call.request_id)
                await events.write_last(chat_service_pb2.StreamChatResponse(error=status))
            raise

    async def _stream(
        self, request: chat_service_pb2.StreamChatRequest, context: Context, call: Call, write: Write
    ) -> None:
        await check(request)
        generation = generation_of(
            call, request.chat, field_prefix="chat.", deadline=deadline_of(context), stream=request
        )
        note_generation(call, generation, self._chat.model.model_id)
        async with self._chat.answer(generation, until=end_of_answer(call, context)) as events:
            writing = codec.ChatEvents(
                answer_id=new_answer_id(call, "chat"),
                model=self._chat.model,
                seconds_before_engine=lambda: seconds_before_engine(call),
            )
            await stream_answer(events, call, writing, write)

    async def CountTokens(  # noqa: N802  # the contract's name
        self, request: chat_service_pb2.CountTokensRequest, context: Context
    ) -> chat_service_pb2.CountTokensResponse:
        """Count a conversation's tokens."""
        count = await self._chat.count_tokens(await _unanswered(request))
        return codec.count_to_proto(count, self._chat.model)

    async def ExplainChat(  # noqa: N802  # the contract's name
        self, request: chat_service_pb2.ExplainChatRequest, context: Context
    ) -> chat_service_pb2.ExplainChatResponse:
        """Show what the model would be given. Who may ask was checked at the entrance."""
        explanation = await self._chat.explain(await _unanswered(request))
        return codec.explanation_to_proto(explanation, self._chat.model)


async def _unanswered(
    request: chat_service_pb2.CountTokensRequest | chat_service_pb2.ExplainChatRequest,
) -> GenerationRequest:
    """The domain's request of a call that generates nothing."""
    await check(request)
    return generation_of(current_call.get(), request.chat, field_prefix="chat.")
