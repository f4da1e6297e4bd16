"""The client for programs without asyncio."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, model_pb2, model_service_pb2_grpc
from palaver_client import _health
from palaver_client._connection import Connection
from palaver_client._core import DEFAULT_TIMEOUT_SECONDS, ClientCore, PreparedCall, checked_timeout, default_model
from palaver_client._interrupt import interrupt_deferred
from palaver_client._progress import OnEnd
from palaver_client._status import locally_cancelled
from palaver_client.answer import Answer
from palaver_client.options import CallOptions, ChatOptions, Prompt, StreamOptions
from palaver_client.stream import Stream

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


class Client(ClientCore):
    """Talks with a palaver server. ``AsyncClient`` does the same for asyncio.

    Use it with ``with``, or ``close`` it. Any number of threads may share one; their calls share one connection. Ctrl-C
    ends the call that waits, on the server too. Make it after a fork, or make no call before one.
    """

    _wire: _Wire | None = None
    _wiring = threading.Lock()

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Calls under way end with ``errors.Cancelled``. Harmless when called twice."""
        self._closed.set()
        if self._wire is not None:
            self._wire.channel.close()

    def chat(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[ChatOptions]) -> Answer:
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
        response, trailers = self._unary(call, lambda: self._connected().chat.Chat)
        return call.answer(response, trailers)

    def stream(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[StreamOptions]) -> Stream:
        """Answer a question or a conversation, piece by piece. Nothing is sent before the stream is read.

        Args:
            prompt: as ``chat`` takes it.
            system: as ``chat`` takes it.
            **options: see ``StreamOptions``.

        Raises:
            TypeError, ValueError: as ``chat``. What the call fails with, the stream raises.
        """
        return self._stream(prompt, system, options)

    def _stream(self, prompt: Prompt, system: str | None, options: ChatOptions, on_end: OnEnd | None = None) -> Stream:
        call = self._stream_call(prompt, system, options)
        return Stream(lambda: self._connected().chat.StreamChat, call, on_end)

    def count_tokens(
        self, prompt: Prompt, *, system: str | None = None, **options: Unpack[ChatOptions]
    ) -> chat_service_pb2.CountTokensResponse:
        """Count the tokens of the prompt that ``chat`` would make of the same arguments.

        The answer has ``prompt_token_count``, and what the model has room for: ``context_length``,
        ``max_output_tokens``.

        Raises:
            errors.PalaverClientError, TypeError, ValueError: as ``chat``.
        """
        call = self._count_call(prompt, system, options)
        return self._unary(call, lambda: self._connected().chat.CountTokens)[0]

    def explain(
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
        return self._unary(call, lambda: self._connected().chat.ExplainChat)[0]

    def list_models(self, **options: Unpack[CallOptions]) -> list[model_pb2.Model]:
        """List the models that the server answers with, the default one first. Works while they load.

        Raises:
            errors.PalaverClientError: a call failed.
        """
        models: list[model_pb2.Model] = []
        page_token = ""
        while True:
            call = self._page_call(page_token, options)
            page, _ = self._unary(call, lambda: self._connected().models.ListModels)
            models.extend(page.models)
            if not (page_token := page.next_page_token):
                return models

    def get_model(self, model: str | None = None, **options: Unpack[CallOptions]) -> model_pb2.Model:
        """Describe a model: its state, how far it has loaded, its context length, what it can do.

        Args:
            model: its id. Default: the client's model, else the server's default model.
            **options: see ``CallOptions``.

        Raises:
            errors.NotFound: there is no such model.
            errors.PalaverClientError: the call failed otherwise.
        """
        if not (name := model or self._model):
            return default_model(self.list_models(**options))
        call = self._model_call(name, options)
        return self._unary(call, lambda: self._connected().models.GetModel)[0]

    def wait_until_ready(self, timeout: float | None = DEFAULT_TIMEOUT_SECONDS) -> None:
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
            watch = failure = None
            try:
                with interrupt_deferred():
                    watch = self._connected().watch(call.request, timeout=patience.remaining(), metadata=call.metadata)
                for state in watch:
                    if patience.is_ready(state.value):
                        return
            except grpc.RpcError as error:
                failure = call.error(error)
            finally:
                if watch is not None:
                    watch.cancel()
            self._closed.wait(patience.delay_after(failure))

    def _unary(
        self,
        call: PreparedCall[RequestT],
        method: Callable[[], grpc.UnaryUnaryMultiCallable[RequestT, ResponseT]],
    ) -> tuple[ResponseT, dict[str, Any]]:
        """Send a call, as often as it needs and may; give its response and trailers."""
        attempts = call.attempts()
        while True:
            rpc = None
            try:
                with interrupt_deferred():
                    # The plain form of a call could not be cancelled.
                    rpc = method().future(call.request, **call.arguments(attempts))
                return rpc.result(), dict(rpc.trailing_metadata() or ())
            except grpc.RpcError as error:
                failure = call.error(error)
                if (delay := attempts.delay_after(failure)) is None:
                    raise failure from error
            finally:
                if rpc is not None:
                    rpc.cancel()  # by Ctrl-C; without effect on a call that has ended
            self._closed.wait(delay)

    def _connected(self) -> _Wire:
        """The one channel, made at the first call."""
        if self._closed.is_set():  # while this call waited for its next attempt
            raise locally_cancelled(None)
        with self._wiring:
            if self._wire is None:
                self._wire = _Wire(self._connection)
            return self._wire


class _Wire:
    """A channel and what is called on it."""

    def __init__(self, connection: Connection) -> None:
        target, credentials, options = connection.address.target, connection.credentials, connection.options
        self.channel = (
            grpc.insecure_channel(target, options)
            if credentials is None
            else grpc.secure_channel(target, credentials, options)
        )
        self.chat = chat_service_pb2_grpc.ChatServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)
        self.watch = self.channel.unary_stream(_health.METHOD, _health.serialize, _health.parse)
