"""Puts the services behind one listener, and starts and stops it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2_grpc

from palaver.v1 import chat_service_pb2_grpc, model_service_pb2_grpc, openai_service_pb2_grpc, web_service_pb2_grpc
from palaver_server.core.chat import Chat
from palaver_server.core.loading import Loading
from palaver_server.core.readiness import Readiness
from palaver_server.rpc.by_name import by_name
from palaver_server.rpc.chat_service import ChatService
from palaver_server.rpc.entrance import Entrance
from palaver_server.rpc.health import HealthServicer
from palaver_server.rpc.interceptor import CallInterceptor
from palaver_server.rpc.listener import bind
from palaver_server.rpc.model_service import ModelService
from palaver_server.rpc.openai_service import OpenAIService
from palaver_server.rpc.reflection import ReflectionServicer
from palaver_server.rpc.tls import TlsFiles
from palaver_server.rpc.transport import ServerLimits, new_server
from palaver_server.rpc.unix_socket import UnixAccess
from palaver_server.rpc.validation import warm_up
from palaver_server.rpc.web_service import WebService
from palaver_server.telemetry.call_record import CallObserver

if TYPE_CHECKING:  # Envoy's messages, which a server without load reports needs not have
    from palaver_server.rpc.load_report import LoadReports

SERVICES = (
    "palaver.v1.ChatService",
    "palaver.v1.ModelService",
    "palaver.v1.OpenAIService",
    "palaver.v1.WebService",
)
HEALTH = "grpc.health.v1.Health"
STOP_SECONDS = 0.5
"""What calls that were ended may take to send their status before the connections close."""


class HealthPort:
    """A second, plaintext listener with ``grpc.health.v1`` alone.

    For the kubelet, whose probe shows neither a key nor a certificate. It tells whether the model answers, and nothing
    else.
    """

    def __init__(self, readiness: Readiness, *, limits: ServerLimits, max_health_watches: int) -> None:
        self._server = new_server(limits, [CallInterceptor()])
        self._health = HealthServicer(readiness, SERVICES, max_watches=max_health_watches)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, by_name(self._server))

    async def start(self, listen: str) -> str:
        """Bind and answer; give the address as clients write it.

        Raises:
            ListenError: the address cannot be bound.
        """
        address = bind(self._server, listen)
        await self._server.start()
        return address

    async def stop(self) -> None:
        """End watches, then close the port."""
        self._health.close()
        await self._server.stop(STOP_SECONDS)


class RpcServer:
    """The API port: palaver's services, health and reflection. Belongs to one event loop.

    Args:
        entrance: checks the callers of the port.
        edge_entrance: checks those who come by the edge's socket; None where there is no such socket.
        observers: are told of every call that has ended.
        keeps_answers: whether one of them looks at answers.
        load_reports: tell load balancers at the port how busy the server is; None: nobody does.
        shares_port: whether other processes of this server listen at the same TCP port.
    """

    def __init__(
        self,
        chat: Chat,
        readiness: Readiness,
        loading: Loading,
        *,
        entrance: Entrance,
        edge_entrance: Entrance | None,
        limits: ServerLimits,
        tls: TlsFiles | None,
        max_health_watches: int,
        event_stream_keepalive_seconds: float,
        observers: Sequence[CallObserver] = (),
        keeps_answers: bool = False,
        load_reports: LoadReports | None = None,
        shares_port: bool = False,
    ) -> None:
        self._shares_port = shares_port
        self._load_reports = load_reports
        self._observers = observers
        self._keeps_answers = keeps_answers
        self._tls = tls
        self._health = HealthServicer(readiness, SERVICES, max_watches=max_health_watches)
        self._reflection = ReflectionServicer((*SERVICES, HEALTH))
        chat_service = ChatService(chat, keepalive_seconds=event_stream_keepalive_seconds)
        model_service = ModelService(chat, readiness, loading)
        openai_service = OpenAIService(chat, keepalive_seconds=event_stream_keepalive_seconds)
        web_service = WebService(chat, readiness)
        self._add_services: tuple[Callable[[grpc.aio.Server], None], ...] = (
            partial(chat_service_pb2_grpc.add_ChatServiceServicer_to_server, chat_service),
            partial(model_service_pb2_grpc.add_ModelServiceServicer_to_server, model_service),
            partial(openai_service_pb2_grpc.add_OpenAIServiceServicer_to_server, openai_service),
            partial(web_service_pb2_grpc.add_WebServiceServicer_to_server, web_service),
            partial(health_pb2_grpc.add_HealthServicer_to_server, self._health),
            self._reflection.add_to,
        )
        self._server = self._new_server(limits, entrance, load_reports)
        if load_reports is not None:
            load_reports.add_to(by_name(self._server))
        # A server of its own: grpcio does not say by which of its sockets a call came, and the edge's calls are
        # counted already.
        self._edge_server = None if edge_entrance is None else self._new_server(limits, edge_entrance)

    async def start(
        self,
        listen: str,
        edge_socket: Path | None = None,
        access: UnixAccess | None = None,
        *,
        joins: bool = False,
    ) -> str:
        """Bind and answer; give the port's address as clients write it.

        Args:
            listen: where clients reach the API.
            edge_socket: path of a unix socket on which the edge reaches it as well.
            access: who may connect to that socket.
            joins: another process of this server listens at the port already.

        Raises:
            ListenError: an address cannot be bound.
        """
        address = bind(self._server, listen, self._tls, joins=joins)
        if edge_socket is not None and self._edge_server is not None:
            bind(self._edge_server, f"unix:{edge_socket}", access=access)
            await self._edge_server.start()
        await self._server.start()
        warm_up()  # after the bind: who connects meanwhile waits some milliseconds instead of being refused
        return address

    async def stop(self) -> None:
        """End watches and reflection streams, then close the port."""
        self._health.close()
        self._reflection.close()
        if self._load_reports is not None:
            self._load_reports.close()
        servers = (self._server, self._edge_server)
        await asyncio.gather(*(server.stop(STOP_SECONDS) for server in servers if server is not None))
        await asyncio.sleep(0)  # cancelled handlers run to their end

    def _new_server(
        self, limits: ServerLimits, entrance: Entrance, load_reports: LoadReports | None = None
    ) -> grpc.aio.Server:
        interceptor = CallInterceptor(
            entrance,
            self._observers,
            keeps_answers=self._keeps_answers,
            load_trailers=None if load_reports is None else load_reports.trailers,
        )
        server = new_server(limits, [interceptor], shares_port=self._shares_port)
        for add_to in self._add_services:
            add_to(by_name(server))
        return server
