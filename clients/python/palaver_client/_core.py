"""What both clients are, whichever way they wait: their settings, and the calls made of arguments."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc

from palaver.v1 import chat_service_pb2, model_pb2, model_service_pb2
from palaver_client import errors
from palaver_client._attempts import Attempts
from palaver_client._connection import (
    DEFAULT_MAX_ANSWER_BYTES,
    DEFAULT_MAX_REQUEST_BYTES,
    StrPath,
    TlsFiles,
    new_connection,
)
from palaver_client._metadata import REQUEST_ID, Metadata, call_metadata, checked_request_id, new_request_id
from palaver_client._request import chat_request, stream_request
from palaver_client._status import error_from
from palaver_client.answer import Answer
from palaver_client.options import Prompt
from palaver_client.retry import NEVER, RetryPolicy

DEFAULT_TIMEOUT_SECONDS = 600.0
MODEL_PREFIX = "models/"

RequestT = TypeVar("RequestT")


@dataclass(frozen=True, slots=True)
class PreparedCall(Generic[RequestT]):
    """One call, checked and ready to be sent as often as its retries want."""

    request: RequestT
    request_id: str
    metadata: Metadata
    timeout: float | None
    address: str
    retry: RetryPolicy
    wait_for_ready: bool

    def __repr__(self) -> str:
        return f"PreparedCall({self.request_id})"  # neither the key nor the prompt

    def attempts(self) -> Attempts:
        """The call's attempts; its time runs from now."""
        return Attempts(self.retry, self.timeout)

    def arguments(self, attempts: Attempts) -> dict[str, Any]:
        """What a stub's method takes beside the request, for the next attempt."""
        return {"timeout": attempts.remaining(), "metadata": self.metadata, "wait_for_ready": self.wait_for_ready}

    def error(self, rpc_error: grpc.RpcError) -> errors.PalaverClientError:
        """Translate what gRPC raised."""
        return error_from(rpc_error, address=self.address, request_id=self.request_id, timeout=self.timeout)

    def answer(self, response: chat_service_pb2.ChatResponse, trailers: Mapping[str, str | bytes]) -> Answer:
        """Wrap a whole answer.

        Raises:
            errors.InternalError: it has no choice, which no server may say.
        """
        request_id = str(trailers.get(REQUEST_ID) or self.request_id)
        if not response.choices:
            raise errors.InternalError(
                "The server's answer has no choice.", code=grpc.StatusCode.INTERNAL, request_id=request_id
            )
        return Answer(response, request_id)

    def broken_off(self) -> errors.InternalError:
        """The error of a stream that ended well, and without its last event."""
        return errors.InternalError(
            "The stream ended before its answer was whole.", code=grpc.StatusCode.INTERNAL, request_id=self.request_id
        )


class ClientCore:
    """The settings of a client, and its calls."""

    def __init__(
        self,
        address: str | None = None,
        *,
        api_key: str | None = None,
        model: str | None = None,
        timeout: float | None = DEFAULT_TIMEOUT_SECONDS,
        retry: RetryPolicy | None = RetryPolicy(),  # noqa: B008  # frozen, so one for all is fine
        tls: bool | None = None,
        ca_certificate: StrPath | None = None,
        client_certificate: StrPath | None = None,
        client_key: StrPath | None = None,
        tls_server_name: str | None = None,
        allow_plaintext_key: bool = False,
        wait_for_ready: bool = False,
        max_request_bytes: int = DEFAULT_MAX_REQUEST_BYTES,
        max_answer_bytes: int = DEFAULT_MAX_ANSWER_BYTES,
        request_id_factory: Callable[[], str] = new_request_id,
    ) -> None:
        """Check the settings. No connection is made before the first call.

        Args:
            address: ``HOST:PORT``, ``[IPV6]:PORT`` or ``unix:/path``. Default: the variable ``PALAVER_ADDRESS``, else
                ``127.0.0.1:50051``.
            api_key: who is calling. Default: the variable ``PALAVER_API_KEY``, else none; an empty text means none.
                Never shown, and never sent in plaintext to another machine.
            model: the model that answers where a call names none, by its id or an alias. Default: the server's default.
            timeout: seconds that a call may take with its retries, above 0; None for no limit. Default 600.
            retry: when failed calls are tried again; None never.
            tls: True for TLS with the machine's own certificate authorities, False for plaintext whatever the variables
                say. Default: TLS where a certificate is given, plaintext else.
            ca_certificate: PEM file of the authorities that the server's certificate is checked against. Default: the
                variable ``PALAVER_CA``. Files are read once, here.
            client_certificate: PEM file of the certificate that this client shows (mTLS), and those that vouch for it.
            client_key: PEM file of its unencrypted private key.
            tls_server_name: the name in the server's certificate, where it is not the address's.
            allow_plaintext_key: send the key in plaintext to another machine all the same, because something else, such
                as a service mesh, encrypts the way.
            wait_for_ready: let calls wait for a server that cannot be reached until their timeout is over. Default:
                they fail when the retries are used up.
            max_request_bytes: largest request. Default 8 MiB, as the server's.
            max_answer_bytes: largest message of an answer. Default 32 MiB, as the server's.
            request_id_factory: names calls that are given no ``request_id``. Default: random names.

        Raises:
            ValueError: an argument or a variable cannot be; the message names it and says what would be right.
        """
        self._connection = new_connection(
            address,
            api_key,
            tls=tls,
            files=TlsFiles(
                ca_certificate=ca_certificate,
                client_certificate=client_certificate,
                client_key=client_key,
                server_name=tls_server_name,
            ),
            allow_plaintext_key=allow_plaintext_key,
            max_request_bytes=max_request_bytes,
            max_answer_bytes=max_answer_bytes,
        )
        self._model = model
        self._timeout = checked_timeout(timeout)
        self._retry = retry or NEVER
        self._wait_for_ready = wait_for_ready
        self._new_request_id = request_id_factory
        self._closed = threading.Event()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection}{', closed' if self._closed.is_set() else ''})"

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._connection.address.text

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise RuntimeError(f"this {type(self).__name__} is closed")

    def _chat_call(
        self, prompt: Prompt, system: str | None, options: Mapping[str, Any]
    ) -> PreparedCall[chat_service_pb2.ChatRequest]:
        call, rest = self._split(options)
        return self._prepared(chat_request(prompt, system=system, options=rest), call)

    def _stream_call(
        self, prompt: Prompt, system: str | None, options: Mapping[str, Any]
    ) -> PreparedCall[chat_service_pb2.StreamChatRequest]:
        call, rest = self._split(options)
        return self._prepared(stream_request(prompt, system=system, options=rest), call)

    def _count_call(
        self, prompt: Prompt, system: str | None, options: Mapping[str, Any]
    ) -> PreparedCall[chat_service_pb2.CountTokensRequest]:
        call, rest = self._split(options)
        chat = chat_request(prompt, system=system, options=rest)
        return self._prepared(chat_service_pb2.CountTokensRequest(chat=chat), call)

    def _explain_call(
        self, prompt: Prompt, system: str | None, options: Mapping[str, Any]
    ) -> PreparedCall[chat_service_pb2.ExplainChatRequest]:
        call, rest = self._split(options)
        chat = chat_request(prompt, system=system, options=rest)
        return self._prepared(chat_service_pb2.ExplainChatRequest(chat=chat), call)

    def _page_call(
        self, page_token: str, options: Mapping[str, Any]
    ) -> PreparedCall[model_service_pb2.ListModelsRequest]:
        return self._prepared(model_service_pb2.ListModelsRequest(page_token=page_token), self._only_call(options))

    def _model_call(self, model: str, options: Mapping[str, Any]) -> PreparedCall[model_service_pb2.GetModelRequest]:
        name = model if model.startswith(MODEL_PREFIX) else f"{MODEL_PREFIX}{model}"
        return self._prepared(model_service_pb2.GetModelRequest(name=name), self._only_call(options))

    def _split(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The options of the call, and those of the chat."""
        rest = {"model": self._model, **options}
        return {name: rest.pop(name) for name in _CALL_OPTIONS if name in rest}, rest

    def _only_call(self, options: Mapping[str, Any]) -> dict[str, Any]:
        if unknown := [name for name in options if name not in _CALL_OPTIONS]:
            raise TypeError(f"there is no option {unknown[0]!r}; those there are: {', '.join(_CALL_OPTIONS)}")
        return dict(options)

    def _prepared(self, request: RequestT, call: Mapping[str, Any]) -> PreparedCall[RequestT]:
        self._check_open()
        request_id = checked_request_id(call.get("request_id") or self._new_request_id())
        return PreparedCall(
            request=request,
            request_id=request_id,
            metadata=call_metadata(self._connection.api_key, request_id, call.get("metadata")),
            timeout=checked_timeout(call["timeout"]) if "timeout" in call else self._timeout,
            address=self.address,
            retry=self._retry,
            wait_for_ready=self._wait_for_ready,
        )


def default_model(models: list[model_pb2.Model]) -> model_pb2.Model:
    """The model that answers requests which name none.

    Raises:
        errors.NotFound: the server has none.
    """
    for model in models:
        if model.is_default:
            return model
    raise errors.NotFound("The server has no default model; name one.", code=grpc.StatusCode.NOT_FOUND)


def checked_timeout(timeout: float | None) -> float | None:
    """Give the timeout back if it can be one.

    Raises:
        ValueError: it cannot.
    """
    if timeout is not None and not 0 < timeout < math.inf:
        raise ValueError(f"timeout must be above 0 seconds, or None for no limit, not {timeout}")
    return timeout


_CALL_OPTIONS = ("timeout", "request_id", "metadata")
