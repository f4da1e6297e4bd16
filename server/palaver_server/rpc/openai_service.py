"""``palaver.v1.OpenAIService``: OpenAI's JSON in, OpenAI's JSON or its stream of events out."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import grpc
from google.api import httpbody_pb2
from pydantic import ValidationError

from palaver.v1 import chat_service_pb2, openai_service_pb2, openai_service_pb2_grpc
from palaver_server.core.chat import Chat
from palaver_server.core.errors import FieldViolation, PalaverError, Reason
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.identity.rights import require_model
from palaver_server.core.strict_json import parse
from palaver_server.rpc.call import current_call, deadline_of, new_answer_id, note_generation
from palaver_server.rpc.deadline import end_of_answer
from palaver_server.rpc.errors import told_error
from palaver_server.rpc.generation import generation_of
from palaver_server.rpc.openai.blame import in_callers_words, type_error
from palaver_server.rpc.openai.body import Body, StreamOptions
from palaver_server.rpc.openai.chunks import Chunks
from palaver_server.rpc.openai.completion import completion_json
from palaver_server.rpc.openai.errors import error_json
from palaver_server.rpc.openai.event_stream import EventStream
from palaver_server.rpc.openai.extent import refuse_too_much
from palaver_server.rpc.openai.models import model_json, model_list_json
from palaver_server.rpc.openai.options import wide_seed
from palaver_server.rpc.openai.request import request_from_body
from palaver_server.rpc.streamed_answer import stream_answer
from palaver_server.rpc.turns import LONG_BODY_BYTES, turn
from palaver_server.rpc.validation import ELEMENTS_AT_ONCE, check
from palaver_server.rpc.whole_answer import read_whole

JSON = "application/json"

Context = grpc.aio.ServicerContext[Any, Any]


class OpenAIService(openai_service_pb2_grpc.OpenAIServiceServicer):
    """Answers OpenAI's clients through ``core.chat``.

    Args:
        chat: answers.
        keepalive_seconds: after so much silence a stream gets a comment line.
    """

    def __init__(self, chat: Chat, *, keepalive_seconds: float) -> None:
        self._chat = chat
        self._keepalive_seconds = keepalive_seconds
        self._created = int(time.time())

    async def CreateChatCompletion(  # type: ignore[override]  # noqa: N802  # writes, as StreamChat does
        self, request: httpbody_pb2.HttpBody, context: Context
    ) -> None:
        """Answer in one piece or in many, as the body asks."""
        body = await _body(request.data)
        if body.stream:
            await self._stream(body, context)
        else:
            with in_callers_words(body):
                generation = await _generation(body, context)
                await self._answer(generation, context)

    async def ListOpenAIModels(  # noqa: N802  # the contract's name
        self, request: openai_service_pb2.ListOpenAIModelsRequest, context: Context
    ) -> httpbody_pb2.HttpBody:
        """List the one model, if the caller may use it."""
        await check(request)
        model = self._chat.model
        usable = [model] if current_call.get().client.may_use_model(model.model_id) else []
        return httpbody_pb2.HttpBody(content_type=JSON, data=model_list_json(usable, self._created))

    async def GetOpenAIModel(  # noqa: N802  # the contract's name
        self, request: openai_service_pb2.GetOpenAIModelRequest, context: Context
    ) -> httpbody_pb2.HttpBody:
        """Describe the model by its id."""
        await check(request)
        model = self._chat.model
        if request.model != model.model_id:
            raise PalaverError(
                Reason.MODEL_NOT_FOUND,
                f"This server does not serve that model. It serves {model.model_id!r}.",
                violations=[FieldViolation("model", f"no such model here; {model.model_id!r} is served")],
                metadata={"model": model.model_id},
            )
        require_model(current_call.get().client, model.model_id, field="model")
        return httpbody_pb2.HttpBody(content_type=JSON, data=model_json(model, self._created))

    async def _answer(self, generation: GenerationRequest, context: Context) -> None:
        call = current_call.get()
        note_generation(call, generation, self._chat.model.model_id)
        created = int(time.time())
        async with self._chat.answer(generation, until=end_of_answer(call, context)) as events:
            answer = await read_whole(events, call)
        data = completion_json(
            generation,
            answer,
            answer_id=new_answer_id(call, "chatcmpl"),
            model=self._chat.model,
            created=created,
        )
        await context.write(httpbody_pb2.HttpBody(content_type=JSON, data=data))

    async def _stream(self, body: Body, context: Context) -> None:
        """Send events. A failure after the first is one more event, and then the status of the call as ever."""
        call = current_call.get()
        stream = EventStream(context, call)
        try:
            with in_callers_words(body):
                generation = await _generation(body, context)
                async with stream.kept_alive(self._keepalive_seconds):
                    options = body.stream_options or StreamOptions()
                    await self._send_chunks(generation, options, stream, end_of_answer(call, context))
        except Exception as error:
            if stream.has_begun:
                await stream.send_last(_error_event(told_error(error)))
            raise

    async def _send_chunks(
        self, generation: GenerationRequest, options: StreamOptions, stream: EventStream, until: float | None
    ) -> None:
        call = current_call.get()
        note_generation(call, generation, self._chat.model.model_id)
        async with self._chat.answer(generation, until=until) as events:
            chunks = Chunks(
                generation,
                answer_id=new_answer_id(call, "chatcmpl"),
                model=self._chat.model,
                created=int(time.time()),
                has_usage=options.include_usage,
                has_running_usage=options.continuous_usage_stats,
            )
            await stream_answer(events, call, chunks, stream.send)


async def _body(data: bytes) -> Body:
    """Read a body; a long one beside the event loop, on which everybody's tokens pass."""
    if len(data) <= LONG_BODY_BYTES:
        return _body_now(data)
    async with turn():
        return await asyncio.to_thread(_body_now, data)


def _body_now(data: bytes) -> Body:
    document = parse(data)
    refuse_too_much(document)
    try:
        return Body.model_validate(document)
    except ValidationError as error:
        raise type_error(error) from None


async def _generation(body: Body, context: Context) -> GenerationRequest:
    """The domain's request, by the contract's: what the contract does not allow is refused there, and only there."""
    request = await _request(body)
    await check(request)
    generation = generation_of(
        current_call.get(), request.chat, deadline=deadline_of(context), stream=request if body.stream else None
    )
    seed = wide_seed(body)
    return generation if seed is None else replace(generation, options=replace(generation.options, seed=seed))


async def _request(body: Body) -> chat_service_pb2.StreamChatRequest:
    """Say the body in the contract's words; a long one beside the event loop."""
    parts = sum(1 if isinstance(message.content, str) else len(message.content or ()) for message in body.messages)
    if parts <= ELEMENTS_AT_ONCE:
        return request_from_body(body)
    async with turn():
        return await asyncio.to_thread(request_from_body, body)


def _error_event(error: PalaverError) -> bytes:
    return f"data: {error_json(error)}\n\n".encode()
