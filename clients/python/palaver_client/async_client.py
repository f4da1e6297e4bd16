"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, model_pb2, model_service_pb2_grpc
from palaver_client import _health
from palaver_client._connection import Connection
from palaver_client._core import DEFAULT_TIMEOUT_SECONDS, ClientCore, PreparedCall, checked_timeout, default_model
from palaver_client._progress import OnEnd
from palaver_client._status import locally_cancelled
from palaver_client.answer import Answer
from palaver_client.async_stream import AsyncStream, is_being_cancelled
from palaver_client.errors import PalaverClientError
from palaver_client.options import CallOptions, ChatOptions, Prompt, StreamOptions

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


class AsyncClient(ClientCore):
    """Talks with a palaver server from asyncio.

    Use it with ``async with``, or ``close`` it. Any number of tasks may share one; their calls share one connection. It
    belongs to the event loop of its first call.
    """

    _wire: _Wire | None = None

    async def __aenter__(self) -> Self:
        self._check_open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection. Calls under way end with ``errors.Cancelled``. Harmless when called twice."""
        self._closed.set()
        if self._wire is not None:
            await self._wire.channel.close()

    async def chat(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[ChatOptions]) -> Answer:
        """Answer a question or a conversation, in one piece.

        Args:
            prompt: the user's words, or a message, or messages, oldest first.
            system: what sets the rules; put before the messages.
            **options: see ``ChatOptions``.

        Raises:
            errors.PalaverClientError: the call failed; the classes of ``errors`` tell how.
            TypeError: there is no such option, or its value has another type.
            ValueError: a value cannot be written.
        """
        call = self._chat_call(prompt, system, options)
        response, trailers = await self._unary(call, lambda: self._connected().chat.Chat)
        return call.answer(response, trailers)

    def stream(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[StreamOptions]) -> AsyncStream:
        """Answer a question or a conversation, piece by piece. Nothing is sent before the stream is read.

        Args:
            prompt: as ``chat`` takes it.
            system: as ``chat`` takes it.
            **options: see ``StreamOptions``.

        Raises:
            TypeError, ValueError: as ``chat``. What the call fails with, the stream raises.
        """
        return self._stream(prompt, system, options)

    def _stream(
        self, prompt: Prompt, system: str | None, options: ChatOptions, on_end: OnEnd | None = None
    ) -> AsyncStream:
        call = self._stream_call(prompt, system, options)
        return AsyncStream(lambda: self._connected().chat.StreamChat, call, on_end)

    async def count_tokens(
        self, prompt: Prompt, *, system: str | None = None, **options: Unpack[ChatOptions]
    ) -> chat_service_pb2.CountTokensResponse:
        """Count the tokens of the prompt that ``chat`` would make of the same arguments.

        The answer has ``prompt_token_count``, and what the model has room for: ``context_length``,
        ``max_output_tokens``.

        Raises:
            errors.PalaverClientError, TypeError, ValueError: as ``chat``.
        """
        call = self._count_call(prompt, system, options)
        return (await self._unary(call, lambda: self._connected().chat.CountTokens))[0]

    async def explain(
        self, prompt: Prompt, *, system: str | None = None, **options: Unpack[ChatOptions]
    ) -> chat_service_pb2.ExplainChatResponse:
        """Show what the model would be given for the arguments of ``chat``, and how it would answer; generate nothing.

        The answer has the rendered prompt, as text and as tokens, the options in force, what would be left out to make
        it fit, and what would read the answer.

        Raises:
            errors.PermissionDenied: the API key's methods do not name ``ExplainChat``, or the server does not open it.
            errors.PalaverClientError, TypeError, ValueError: as ``chat``.
        """
        call = self._explain_call(prompt, system, options)
        return (await self._unary(call, lambda: self._connected().chat.ExplainChat))[0]

    async def list_models(self, **options: Unpack[CallOptions]) -> list[model_pb2.Model]:
        """List the models that the server answers with, the default one first. Works while they load.

        Raises:
            errors.PalaverClientError: a call failed.
        """
        models: list[model_pb2.Model] = []
        page_token = ""
        while True:
            call = self._page_call(page_token, options)
            page, _ = await self._unary(call, lambda: self._connected().models.ListModels)
            models.extend(page.models)
            if not (page_token := page.next_page_token):
                return models

    async def get_model(self, model: str | None = None, **options: Unpack[CallOptions]) -> model_pb2.Model:
        """Describe a model: its state, how far it has loaded, its context length, what it can do.

        Args:
            model: its id. Default: the client's model, else the server's default model.
            **options: see ``CallOptions``.

        Raises:
            errors.NotFound: there is no such model.
            errors.PalaverClientError: the call failed otherwise.
        """
        if not (name := model or self._model):
            return default_model(await self.list_models(**options))
        call = self._model_call(name, options)
        return (await self._unary(call, lambda: self._connected().models.GetModel))[0]

    async def wait_until_ready(
        self,
        timeout: float | None = DEFAULT_TIMEOUT_SECONDS,  # noqa: ASYNC109  # the error tells what was seen till then
    ) -> None:
        """Return when the server answers chats: at once, or when it has been started and has loaded its model.

        Args:
            timeout: seconds to wait at most, above 0; None for ever. Default 600.

        Raises:
            errors.DeadlineExceeded: it was not ready in time; the message tells what was seen of it.
            errors.PalaverClientError: waiting does not help, as with a wrong API key.
        """
        patience = _health.Patience(self.address, checked_timeout(timeout))
        call = self._prepared(_health.REQUEST, {})
        while True:
            watch = self._connected().watch(call.request, timeout=patience.remaining(), metadata=call.metadata)
            failure: PalaverClientError | None = None
            try:
                async for state in watch:
                    if patience.is_ready(state.value):
                        return
            except grpc.RpcError as error:
                failure = call.error(error)
            except asyncio.CancelledError:
                if is_being_cancelled():
                    raise
                raise locally_cancelled(call.request_id) from None  # the client was closed
            finally:
                watch.cancel()
            await asyncio.sleep(patience.delay_after(failure))

    async def _unary(
        self,
        call: PreparedCall[RequestT],
        method: Callable[[], grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]],
    ) -> tuple[ResponseT, dict[str, Any]]:
        """Send a call, as often as it needs and may; give its response and trailers."""
        attempts = call.attempts()
        while True:
            rpc = method()(call.request, **call.arguments(attempts))
            try:
                return await rpc, dict(await rpc.trailing_metadata())
            except grpc.RpcError as error:
                failure = call.error(error)
                if (delay := attempts.delay_after(failure)) is None:
                    raise failure from error
            except asyncio.CancelledError:
                if is_being_cancelled():
                    raise
                raise locally_cancelled(call.request_id) from None  # the client was closed
            finally:
                rpc.cancel()  # without effect on a call that has ended
            await asyncio.sleep(delay)

    def _connected(self) -> _Wire:
        """The one channel, made in the loop that it will belong to."""
        if self._closed.is_set():  # while this call waited for its next attempt
            raise locally_cancelled(None)
        loop = asyncio.get_running_loop()
        if self._wire is None:
            self._wire = _Wire(self._connection, loop)
        elif self._wire.loop is not loop:
            raise RuntimeError("this AsyncClient belongs to another event loop; make one in each asyncio.run")
        return self._wire


class _Wire:
    """A channel and what is called on it."""

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        target, credentials, options = connection.address.target, connection.credentials, connection.options
        self.loop = loop
        self.channel = (
            grpc.aio.insecure_channel(target, options)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, options)
        )
        self.chat: chat_service_pb2_grpc.ChatServiceAsyncStub = chat_service_pb2_grpc.ChatServiceStub(self.channel)
        self.models: model_service_pb2_grpc.ModelServiceAsyncStub = model_service_pb2_grpc.ModelServiceStub(
            self.channel
        )
        self.watch = self.channel.unary_stream(_health.METHOD, _health.serialize, _health.parse)
